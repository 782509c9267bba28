"""Variables of the environment, looked up at every call of an engine.

`os.environ` encodes a name and raises an exception inside for each variable that is not set: 2 us, and
a layer asks for some thirty of them. Whether a name is set at all is seen in its table of encoded names.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any


def variable(name: str) -> str | None:
    """Return a variable of the environment, None where it is not set."""
    # Absent in other implementations of Python.
    known = getattr(os.environ, "_data", None)
    if known is not None and _encoded(name) not in known:
        return None
    return os.environ.get(name)


@cache
def _encoded(name: str) -> Any:
    return os.environ.encodekey(name)
