"""Factors of tables, searched once and kept in the cache under what the table and the search are."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ConfigError
from ...core.files import cache_folder, sha256_bytes, write_atomic
from .lowrank_search import MOST, find_factors
from .lowrank_types import LowRankFactors, NoFactors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_FIELDS = ("columns", "rows", "u", "v")
_REASON = "reason"
_SOURCES = ("lattice.py", "lowrank_search.py", "lowrank_types.py")
_KEPT = 4096
"""Entries from which on a search takes longer than a file."""


def table_factors(products: NDArray[np.int32], most: int = MOST) -> LowRankFactors | NoFactors:
    """Return a table's factors, from the cache or by a search, or why it has none.

    Whatever the cache holds, factors that do not give back the table entry by entry are not returned: they
    are searched anew, and the file is replaced. That a table has none is kept too where it took a search to
    know; it decides nothing but speed. A cache that cannot be written is done without.

    Args:
        products: int32 [2^wa, 2^wb].
        most: the greatest rank that is looked for.
    """
    if products.size < _KEPT:
        return find_factors(products, most)
    path = cache_path(products, most)
    stored = _load(path, products)
    if stored is not None:
        return stored
    found = find_factors(products, most)
    if isinstance(found, LowRankFactors):
        _store(path, {name: getattr(found, name) for name in _FIELDS})
    elif found.searched:
        _store(path, {_REASON: np.array(found.reason)})
    return found


def cache_path(products: NDArray[np.int32], most: int = MOST) -> Path:
    """Return where the cache keeps a table's factors."""
    content = np.ascontiguousarray(products, dtype="<i4")
    facts = (*map(str, products.shape), str(most), _search_hash(), sha256_bytes(content.tobytes()))
    key = sha256_bytes("\n".join(facts).encode())[:24]
    return cache_folder() / "native" / f"factors-{key}.npz"


@cache
def _search_hash() -> str:
    folder = Path(__file__).parent
    return sha256_bytes(b"".join((folder / name).read_bytes() for name in _SOURCES))


def _load(path: Path, products: NDArray[np.int32]) -> LowRankFactors | NoFactors | None:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
            if _REASON in content:
                return NoFactors(str(content[_REASON]), searched=True)
            arrays = {name: content[name] for name in _FIELDS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sides = products.shape
    rank = len(arrays["u"]) if arrays["u"].ndim else 0
    shapes = ((sides[1],), (sides[0],), (rank, sides[0]), (rank, sides[1]))
    for array, shape in zip(arrays.values(), shapes, strict=True):
        if array.dtype != np.int64 or array.shape != shape:
            return None
    factors = LowRankFactors(**arrays)
    return factors if np.array_equal(factors.table(), products) else None


def _store(path: Path, arrays: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    try:
        write_atomic(path, buffer.getvalue())
    except ConfigError:  # what was found is at hand
        return
