"""Says whether kernels can run on a GPU here: ``python -m rtlgrad.nn.engines.cuda``."""

from __future__ import annotations

import sys

from . import availability

if __name__ == "__main__":
    status = availability()
    print(status.reason, file=sys.stdout if status.usable else sys.stderr)
    sys.exit(0 if status.usable else 1)
