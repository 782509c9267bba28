"""A sample of operand pairs with a design's outputs, for designs with too many pairs for a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..core.errors import RecordError
from ..core.files import sha256_bytes
from ..cosim.wide import port_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cosim.interface import Interface


@dataclass(frozen=True, eq=False)
class Sample:
    """Operand pairs, and what a design answered.

    Attributes:
        a: uint64 [N], codes of operand a, read-only.
        b: uint64 [N], codes of operand b, read-only.
        codes: uint64 [N, words], output codes, the low 64 bits first, read-only.
        seed: seed of the generator (NumPy's PCG64) that drew the pairs.
        method: how they were drawn, for people.

    Raises:
        RecordError: the arrays do not belong together.
    """

    a: NDArray[np.uint64]
    b: NDArray[np.uint64]
    codes: NDArray[np.uint64]
    seed: int
    method: str

    identity_key: ClassVar[str] = "sample"

    def __post_init__(self) -> None:
        arrays = {"a": self.a, "b": self.b, "codes": self.codes}
        fits = self.a.ndim == 1 and self.a.shape == self.b.shape and self.codes.ndim == 2
        if not fits or len(self.codes) != len(self.a) or not len(self.a):
            raise RecordError(
                "a sample's operands and outputs do not belong together",
                got=", ".join(f"{name} {array.shape}" for name, array in arrays.items()),
                expected="shapes [N], [N] and [N, words], N at least 1",
            )
        for name, array in arrays.items():
            private = np.array(array, dtype=np.uint64, order="C")
            private.flags.writeable = False
            object.__setattr__(self, name, private)

    def __len__(self) -> int:
        return len(self.a)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over operands and outputs: equal samples have equal hashes."""
        header = f"sample|{self.codes.shape}|uint64-le|"
        return sha256_bytes(header.encode() + self.array.astype("<u8", copy=False).tobytes())

    @property
    def array(self) -> NDArray[np.uint64]:
        """All of it, uint64 [N, 2 + words]: columns a, b, and the words of the output code."""
        return np.column_stack([self.a, self.b, self.codes])

    def operands(self, interface: Interface) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the values of a and b, int64 [N] or Python integers; exact."""
        a = port_values(self.a[:, None], interface.a)
        return a, port_values(self.b[:, None], interface.b)

    def outputs(self, interface: Interface) -> NDArray[Any]:
        """Return the values of the outputs, int64 [N] or Python integers; exact."""
        return port_values(self.codes, interface.out)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sample):
            return NotImplemented
        return self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)
