"""Vectors packed 64 to a word: bit k of word w belongs to vector 64 w + k."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .functions import Words

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
# Bit k of the numbers 0..63, for k = 0..5.
_COUNTING = np.array(
    [sum(((i >> k) & 1) << i for i in range(64)) for k in range(6)], dtype=np.uint64
)
_BITS_PER_BYTE = 8
# The three exchange steps that transpose an 8 x 8 bit matrix held in a word, and their shifts.
_TRANSPOSE = (
    (np.uint64(0x00AA00AA00AA00AA), np.uint64(7)),
    (np.uint64(0x0000CCCC0000CCCC), np.uint64(14)),
    (np.uint64(0x00000000F0F0F0F0), np.uint64(28)),
)


def word_count(vectors: int) -> int:
    """Return the words that hold so many vectors."""
    return -(-vectors // 64)


def counting_bit(bit: int, start: int, words: int) -> Words:
    """Return bit ``bit`` of the numbers start, start + 1, ...; ``start`` is a multiple of 64."""
    if bit < len(_COUNTING):
        return np.full(words, _COUNTING[bit])
    numbers = np.arange(start >> 6, (start >> 6) + words, dtype=np.uint64)
    set_words = (numbers >> np.uint64(bit - 6)) & np.uint64(1)
    return np.where(set_words.astype(bool), _ALL, np.uint64(0))


def pack_codes(codes: NDArray[np.uint64], width: int) -> list[Words]:
    """Pack a stream of codes.

    Args:
        codes: uint64 [N].
        width: bits of a code.

    Returns:
        For each bit from the least significant: uint64 [ceil(N / 64)]; vectors past the end are 0.
    """
    size = word_count(len(codes)) * 64
    padded = np.zeros(size, dtype=np.uint64)
    padded[: len(codes)] = codes
    bits = ((padded[None, :] >> np.arange(width, dtype=np.uint64)[:, None]) & np.uint64(1)).astype(
        np.uint8
    )
    return list(np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64))


def unpack_codes(bits: Sequence[Words], vectors: int) -> NDArray[np.uint64]:
    """Return the codes whose bits, least significant first, are packed: uint64 [vectors].

    Eight bits of eight vectors are an 8 x 8 bit matrix in a word, which three masked exchanges
    transpose (Warren, Hacker's Delight, 2nd ed., section 7-3).
    """
    words = word_count(vectors)
    lanes = np.zeros((words * 64, _BITS_PER_BYTE), dtype=np.uint8)
    for lane in range(-(-len(bits) // _BITS_PER_BYTE)):
        group = bits[lane * _BITS_PER_BYTE : (lane + 1) * _BITS_PER_BYTE]
        rows = np.zeros((words * _BITS_PER_BYTE, _BITS_PER_BYTE), dtype=np.uint8)
        for k, packed in enumerate(group):
            rows[:, k] = np.ascontiguousarray(packed.astype("<u8", copy=False)).view(np.uint8)
        lanes[:, lane] = _transposed(rows.view("<u8").ravel()).view(np.uint8)
    return lanes.view("<u8").ravel()[:vectors].astype(np.uint64, copy=False)


def transition_mask(vectors: int) -> Words:
    """Return ones where a vector has a predecessor: vectors 1 to N - 1 of a stream of N."""
    words = word_count(vectors)
    mask = np.full(words, _ALL)
    mask[0] ^= np.uint64(1)
    if vectors % 64:
        mask[-1] &= np.uint64((1 << (vectors % 64)) - 1)
    return mask


def previous(words: Words) -> Words:
    """Return the stream delayed by one vector, along the last axis; vector 0 keeps its value."""
    delayed = words << np.uint64(1)
    delayed[..., 1:] |= words[..., :-1] >> np.uint64(63)
    delayed[..., 0] |= words[..., 0] & np.uint64(1)
    return delayed


def count_ones(words: Words) -> int:
    """Return how many bits are set."""
    return int(np.bitwise_count(words).sum(dtype=np.int64))


def _transposed(matrices: NDArray[np.uint64]) -> NDArray[np.uint64]:
    result = matrices
    for mask, shift in _TRANSPOSE:
        swap = (result ^ (result >> shift)) & mask
        result = result ^ swap ^ (swap << shift)
    return result
