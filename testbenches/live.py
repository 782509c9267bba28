"""Live co-simulation, inside the simulator: keeps the simulation going until the host ends it.

Runs under cocotb. The operands and products themselves travel between the host and live.sv;
see there.
"""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import ValueChange

ENDED = 2


@cocotb.test()
async def live(top: Any) -> None:
    """Wait for the end of the requests."""
    while top.state.value != ENDED:
        await ValueChange(top.state)
