"""Copies of tensors between pages that nobody may touch."""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

_NONE, _READ, _READ_WRITE = 0, 1, 3  # PROT_* of <sys/mman.h>
_ALIGNMENT = 16
_SLACK = 0xA5
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class GuardedCopy:
    """A tensor's content with forbidden pages before and after.

    The content fills whole pages at one end only. At their end, less than 16 bytes may be left, since
    kernels read tables 16 bytes at a time.

    Args:
        tensor: what is copied.
        writable: whether the copy may be written to.
        from_start: whether it begins at the first page's begin, rather than ends at the last's end.

    Attributes:
        address: of the first byte.
    """

    def __init__(self, tensor: Tensor, *, writable: bool, from_start: bool) -> None:
        page = mmap.PAGESIZE
        self._tensor = tensor
        content = _bytes_of(tensor)
        size = content.size
        inner = max(page, -(-size // page) * page)
        self._map = mmap.mmap(-1, inner + 2 * page)
        self._bytes = np.frombuffer(self._map, np.uint8)
        base = self._bytes.ctypes.data
        start = page if from_start else page + inner - -(-size // _ALIGNMENT) * _ALIGNMENT
        self._around = [self._bytes[page:start], self._bytes[start + size : page + inner]]
        for slack in self._around:
            slack[:] = _SLACK
        self._content = self._bytes[start : start + size]
        self._content[:] = content
        self.address = base + start
        self._protect(base, page, _NONE)
        self._protect(base + page + inner, page, _NONE)
        if not writable:
            self._protect(base + page, inner, _READ)

    @property
    def is_intact(self) -> bool:
        """Whether what lies between the content and the forbidden pages is as it was."""
        return all(bool((slack == _SLACK).all()) for slack in self._around)

    def copy_back(self) -> None:
        """Bring the content, as it is now, back into the tensor."""
        _bytes_of(self._tensor)[:] = self._content

    @staticmethod
    def _protect(address: int, size: int, protection: int) -> None:
        if _LIBC.mprotect(address, size, protection):
            raise OSError(ctypes.get_errno(), "mprotect")


def _bytes_of(tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the memory from a tensor's first element to its last, what a view leaves out included."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    span = 1 + sum((size - 1) * stride for size, stride in steps) if tensor.numel() else 0
    flat: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = (
        tensor.detach().as_strided((span,), (1,)).view(torch.uint8).numpy()
    )
    return flat
