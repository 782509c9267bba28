"""The live RTL of every table in a store, each begun when it is first asked for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..core.errors import ConfigError
from .live import LiveTable
from .record import Characterization
from .store import load
from .trace import find_by_id
from .tuning import TUNED, tuned, weight_map

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from .findings import Finding
    from .tuning import WeightMap


class Identified(Protocol):
    """A table: what it is called, and the id of its characterization."""

    @property
    def name(self) -> str:
        """The design's name."""

    @property
    def id(self) -> str:
        """The characterization's id."""


class TunedEntries:
    """A design's RTL behind a table with mapped weights: it multiplies by the weights stored.

    Args:
        live: the RTL.
        mapping: which weight stands in for which.
    """

    def __init__(self, live: LiveTable | TunedEntries, mapping: WeightMap) -> None:
        self._live = live
        self._codes = mapping.codes.astype(np.int64)

    def entries(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what the tuned table should hold; see `LiveTable.entries`."""
        return self._live.entries(a, self._codes[b])


class LiveStore:
    """Simulators by table id, begun on demand; use it as a context manager.

    Args:
        store: folder of the characterizations.
        rtl: folder in which to look for a source that is not where its record says.
        changed: whether sources that are not those of the record will do.
    """

    def __init__(self, store: Path, rtl: Path, *, changed: bool = False) -> None:
        self._store, self._rtl, self._changed = store, rtl, changed
        self._stack = contextlib.ExitStack()
        self.running: dict[str, LiveTable] = {}
        self._tuned: dict[str, TunedEntries] = {}

    def __call__(self, table: Identified) -> LiveTable | TunedEntries:
        """Return the live RTL of a table.

        Raises:
            ConfigError: no characterization has the table's id, or its RTL is not at hand.
            IdentityError: a source is not the one that the table was made from.
            RtlgradError: it cannot be read or simulated.
        """
        if table.id in self._tuned:
            return self._tuned[table.id]
        if table.id not in self.running:
            made = find_by_id(self._store, table.id)
            if made is None:
                return self._begin_tuned(table)
            live = LiveTable(made, self._rtl, changed=self._changed)
            self.running[table.id] = self._stack.enter_context(live)
        return self.running[table.id]

    def _begin_tuned(self, table: Identified) -> TunedEntries:
        """Return the RTL behind a table whose weights are mapped (`rtlgrad.lutgen.tuning`)."""
        name = table.name.removesuffix(TUNED)
        if name != table.name and (self._store / name).is_dir():
            made = load(self._store / name)
            if isinstance(made, Characterization):
                mapping = weight_map(made.table)
                if tuned(made.table, mapping).id == table.id:
                    self._tuned[table.id] = TunedEntries(self(made.table), mapping)
                    return self._tuned[table.id]
        raise ConfigError(
            f"the table of {table.name} has no RTL to compare it with",
            got=f"no characterization in {self._store} has the id {table.id}",
            remedy="name the store that holds it with --store",
        )

    @property
    def findings(self) -> tuple[tuple[str, Finding], ...]:
        """Name of each design in use, with what became of each of its sources."""
        return tuple((live.name, one) for live in self.running.values() for one in live.findings)

    def __enter__(self) -> LiveStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
