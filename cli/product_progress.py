"""Shows how many products a long comparison or simulation has done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .console import err

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import TaskID

_INTERVAL_S = 10.0


class ProductProgress:
    """A bar on a terminal, a line every ten seconds otherwise; use it as a context manager."""

    def __init__(self, what: str) -> None:
        from rich.progress import Progress as Bar

        self._what = what
        self._console = err()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        if self._console.is_terminal:
            self._bar = Bar(console=self._console, transient=True)
        self._began = self._told = time.monotonic()
        self._done = 0

    def __call__(self, done: int, total: int | None) -> None:
        """Take note of products done, and of those in all where they are known."""
        self._done = done
        now = time.monotonic()
        rate = done / max(now - self._began, 1e-3) / 1e6
        text = f"{self._what}: {done / 1e6:,.1f} M products, {rate:.2f} M/s"
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(text, total=total)
            self._bar.update(self._task, completed=done, description=text)
        elif now - self._told >= _INTERVAL_S:
            self._told = now
            share = f" of {total / 1e6:,.1f} M" if total else ""
            self._console.print(f"{text}{share}", markup=False)

    def layer(self, name: str, products: int) -> None:
        """Take note of a layer's products."""
        del name
        self(self._done + products, None)

    def __enter__(self) -> ProductProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
