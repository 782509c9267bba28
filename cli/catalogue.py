"""``rtlgrad catalogue``: writes the page that shows the designs of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lutgen.catalogue import write_catalogue
from .console import err, out

if TYPE_CHECKING:
    from pathlib import Path


def run(*, store: Path, page: Path) -> None:
    """Write the page; name the records that it had to leave out on standard error."""
    catalogue = write_catalogue(store, page)
    remarks = err()
    for skipped in catalogue.skipped:
        remarks.print(f"left out {skipped.name}: {skipped.reason}", style="yellow", markup=False)
    size = page.stat().st_size / 1e6
    designs = len(catalogue.entries)
    plural = "" if designs == 1 else "s"
    out().print(f"{page}: {designs} design{plural}, {size:.2f} MB", markup=False, soft_wrap=True)
