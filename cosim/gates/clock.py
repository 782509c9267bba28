"""The clock of a netlist: which nets carry it, and whether every flip-flop listens to it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import DesignError
from .functions import truth_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..interface import Clocking
    from .netlist import Instance, Netlist


def clock_nets(netlist: Netlist, clocking: Clocking) -> dict[int, bool]:
    """Return the nets that carry the clock: net -> whether inverted.

    They are the clock input and what buffers and inverters make of it.

    Raises:
        DesignError: a flip-flop takes another clock, a gated one or the other edge, or the clock
            is used as data.
    """
    carrying = {netlist.inputs[clocking.clock][0]: False}
    for instance in netlist.instances:
        if len(instance.inputs) == 1 and instance.inputs[0] in carrying:
            inverted = carrying[instance.inputs[0]]
            for pin, net in zip(instance.cell.outputs, instance.outputs, strict=True):
                table = truth_table(pin.function, (instance.cell.inputs[0].name,))
                if net is not None and table[0] != table[1]:
                    carrying[net] = inverted ^ table[0]
    for instance in netlist.instances:
        _check_instance(netlist, instance, carrying, clocking)
    for name, nets in netlist.outputs.items():
        if set(nets) & carrying.keys():
            raise _as_data(netlist, clocking, f"output {name}")
    return carrying


def _check_instance(
    netlist: Netlist, instance: Instance, carrying: Mapping[int, bool], clocking: Clocking
) -> None:
    register = instance.cell.register
    if register is None:
        if len(instance.inputs) > 1 and set(instance.inputs) & carrying.keys():
            raise _as_data(netlist, clocking, f"{instance.name} ({instance.cell.name})")
        return
    pins = instance.pins
    source = pins.pop(register.clock)
    if set(pins.values()) & carrying.keys():
        raise _as_data(netlist, clocking, f"{instance.name} ({instance.cell.name})")
    if source not in carrying or carrying[source] ^ register.falling != clocking.falling:
        edge = "falling" if clocking.falling else "rising"
        raise DesignError(
            f"{netlist.module}: a flip-flop of the mapped netlist takes another clock",
            got=f"{instance.name} ({instance.cell.name})",
            expected=f"the {edge} edge of {clocking.clock} at every flip-flop",
        )


def _as_data(netlist: Netlist, clocking: Clocking, place: str) -> DesignError:
    return DesignError(
        f"{netlist.module}: the clock {clocking.clock} is used as data",
        got=f"it reaches {place}",
        expected="a clock that reaches flip-flops alone, through buffers and inverters at most",
        remedy="remove clock gates and logic on the clock; use an enable input",
    )
