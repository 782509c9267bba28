"""The exhaustive sweep, inside the simulator: collects the rows that each lane offers.

Runs under cocotb. The host passes what to collect as JSON in ``RTLGRAD_LANES``: a list of
objects with ``index``, ``rows``, ``columns``, ``visits``, ``field_bytes``, ``clocked`` and
``file``. Each lane becomes an unsigned array [rows, columns] of output codes, row = code of operand
a, saved as .npy; ``visits`` rows are offered, and any others stay 0. Beside it, for a clocked lane, the least and the greatest number of cycles that a product took, as
JSON in .cycles.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ValueChange


class FaultError(Exception):
    """A lane found that its design does not follow its protocol.

    Attributes:
        found: the operand codes ``a`` and ``b``, and the ``kind`` of fault (see sweep_clocked.sv).
    """

    def __init__(self, lane: Any) -> None:
        super().__init__()
        self.found = {
            "a": lane.row_a.value.to_unsigned(),
            "b": lane.fault_b.value.to_unsigned(),
            "kind": lane.fault.value.to_unsigned(),
        }


async def collect(lane: Any, job: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return the outputs of one lane, unsigned [rows, columns].

    Raises:
        ValueError: an output bit is X or Z (on a simulator that has them); the message names
            the operand codes.
        FaultError: the design is clocked, and its done output does not come as it should.
    """
    rows, columns, field_bytes = job["visits"], job["columns"], job["field_bytes"]
    codes = np.zeros((job["rows"], columns), dtype=f"<u{field_bytes}")
    done = 0
    while done < rows:
        await ValueChange(lane.rows_done)
        if not lane.rows_done.value.is_resolvable:
            continue  # before the first assignment, on a four-state simulator
        done = lane.rows_done.value.to_unsigned()
        if not 0 < done <= rows:
            done = 0  # the random start value, on a simulator that randomizes it
            continue
        if job["clocked"] and lane.fault.value.to_unsigned():
            raise FaultError(lane)
        a = lane.row_a.value.to_unsigned()
        codes[a] = _row(lane.row.value, a, columns, field_bytes)
    return codes


def _row(value: Any, a: int, columns: int, field_bytes: int) -> np.ndarray[Any, Any]:
    try:
        # Asking first whether all bits are known would look at them one by one, in Python.
        packed = value.to_unsigned().to_bytes(columns * field_bytes, "little")
    except ValueError:
        raise ValueError(_unknown_field(str(value), a, columns, 8 * field_bytes)) from None
    return np.frombuffer(packed, dtype=f"<u{field_bytes}")


def _unknown_field(bits: str, a: int, columns: int, width: int) -> str:
    for b in range(columns):
        # The most significant field, that of the last column, comes first in the text.
        field = bits[(columns - 1 - b) * width : (columns - b) * width]
        if set(field) - {"0", "1"}:
            return f"for operand codes a={a} b={b} the output bits are {field}"
    return f"for operand code a={a}"


async def _finish(top: Any, job: dict[str, Any]) -> None:
    lane = getattr(top, f"lane_{job['index']}")
    target = Path(job["file"])
    try:
        codes = await collect(lane, job)
    except ValueError as error:
        target.with_suffix(".error").write_text(str(error))
    except FaultError as fault:
        target.with_suffix(".fault").write_text(json.dumps(fault.found))
    else:
        if job["clocked"]:
            cycles = [lane.least_cycles.value.to_unsigned(), lane.most_cycles.value.to_unsigned()]
            target.with_suffix(".cycles").write_text(json.dumps(cycles))
        np.save(target, codes)


async def _played(top: Any, index: int) -> None:
    """Wait until a clocked lane has played its list of inputs."""
    lane = getattr(top, f"lane_{index}")
    while set(str(lane.rows_done.value)) != {"1"}:
        await ValueChange(lane.rows_done)


@cocotb.test()
async def sweep(top: Any) -> None:
    """Collect and save every lane; a lane with unknown outputs leaves an .error file instead.

    With ``RTLGRAD_PROBED``, a list of lanes in JSON, wait for these to play their inputs instead.
    """
    if "RTLGRAD_PROBED" in os.environ:
        waiting = [_played(top, index) for index in json.loads(os.environ["RTLGRAD_PROBED"])]
    else:
        waiting = [_finish(top, job) for job in json.loads(os.environ["RTLGRAD_LANES"])]
    for task in [cocotb.start_soon(item) for item in waiting]:
        await task
