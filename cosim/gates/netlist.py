"""A mapped netlist: instances of library cells in topological order, nets with their loads.

A flip-flop's bit is a net of its own, which no wire carries: it drives the flip-flop's outputs, and
takes its next value from the inputs at the clock edge. So evaluating a netlist is the same with
flip-flops as without, given the bits that they hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError, DesignError, ToolFailedError
from .functions import compiled, pins_of, truth_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from .functions import Words
    from .library import GateCell, Library, OutputPin

ZERO, ONE = 0, 1
"""The nets that carry the constants."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One cell of a netlist.

    Attributes:
        name: instance name.
        cell: its cell.
        inputs: nets, in the order of ``cell.inputs``.
        outputs: nets, in the order of ``cell.outputs``; None for an output left open.
        state: the net that stands for a flip-flop's bit; None for a combinational cell.
    """

    name: str
    cell: GateCell
    inputs: tuple[int, ...]
    outputs: tuple[int | None, ...]
    state: int | None = None

    @property
    def pins(self) -> dict[str, int]:
        """Input pin -> net; a flip-flop's state counts as a pin."""
        names = (pin.name for pin in self.cell.inputs)
        pins = dict(zip(names, self.inputs, strict=True))
        if self.cell.register is not None and self.state is not None:
            pins[self.cell.register.state] = self.state
        return pins


@dataclass(frozen=True, slots=True)
class Stage:
    """One driven output of one instance: what computes a net.

    Attributes:
        net: the net that it drives.
        output: the cell's output pin.
        pins: input pin -> net, of the whole cell.
        operands: the nets that its value depends on, in the order that ``answer`` takes.
        answer: computes the net's packed values from those of ``operands``.
    """

    net: int
    output: OutputPin
    pins: Mapping[str, int]
    operands: tuple[int, ...]
    answer: Callable[..., Words]


@dataclass(frozen=True)
class Netlist:
    """A netlist over the cells of one library.

    Nets are numbered from 0; 0 and 1 carry the constants.

    Attributes:
        module: name of the module.
        library: the library.
        inputs: input port -> nets, least significant bit first.
        outputs: output port -> nets, least significant bit first.
        instances: the cells, each after those that drive it; flip-flops first.
        nets: number of nets.
        wire_capacitance_ff: assumed capacitance of the wire to each pin that a net drives.
        output_load_ff: assumed load on each bit of an output port.
        initial: state net of a flip-flop -> the bit that the source lets it start with, for those
            to which it gives one.
    """

    module: str
    library: Library
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    instances: tuple[Instance, ...]
    nets: int
    wire_capacitance_ff: float = 0.0
    output_load_ff: float = 0.0
    initial: Mapping[int, bool] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        # Compiled functions, which the cached properties hold, cannot travel between processes.
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def registers(self) -> tuple[Instance, ...]:
        """The flip-flops."""
        return tuple(one for one in self.instances if one.cell.register is not None)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """What drives each net, each after those that it depends on."""
        return tuple(
            _stage(net, output, instance)
            for instance in self.instances
            for output, net in zip(instance.cell.outputs, instance.outputs, strict=True)
            if net is not None
        )

    @cached_property
    def loads_ff(self) -> tuple[float, ...]:
        """The capacitance on each net: pins, wires to them, and output ports (fF)."""
        loads = [0.0] * self.nets
        for instance in self.instances:
            for pin, net in zip(instance.cell.inputs, instance.inputs, strict=True):
                loads[net] += pin.capacitance_ff + self.wire_capacitance_ff
        for nets in self.outputs.values():
            for net in nets:
                loads[net] += self.output_load_ff
        loads[ZERO] = loads[ONE] = 0.0
        return tuple(loads)

    @property
    def area_um2(self) -> float:
        """Sum of the cells' areas."""
        return sum(instance.cell.area_um2 for instance in self.instances)

    @property
    def leakage_nw(self) -> float | None:
        """Sum of the cells' leakages; None where the library does not state one of them."""
        values = [instance.cell.leakage_nw for instance in self.instances]
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None


def read_netlist(
    path: Path, library: Library, *, wire_capacitance_ff: float = 0.0, output_load_ff: float = 0.0
) -> Netlist:
    """Read what Yosys' ``write_json`` wrote after mapping onto ``library``.

    Args:
        path: the JSON file; its module marked ``top`` is taken, or its only one.
        library: the library that the design was mapped onto.
        wire_capacitance_ff: assumed capacitance of the wire to each driven pin.
        output_load_ff: assumed load on each output bit.

    Raises:
        ToolFailedError: the file is no netlist of one flat module.
        ConfigError: an instance's cell is no combinational cell or flip-flop of the library.
        DesignError: X or Z reaches a cell or an output, a net has no driver or two, or a loop.
    """
    try:
        modules = json.loads(path.read_text())["modules"]
        tops = [name for name in modules if "top" in modules[name].get("attributes", {})]
        names = tops or list(modules)
        ports, cells = modules[names[0]]["ports"], modules[names[0]].get("cells", {})
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ToolFailedError(
            f"{path} is not a netlist as Yosys' write_json writes it", got=repr(error)
        ) from error
    builder = _Builder(names[0], library)
    inputs, outputs = builder.ports(ports)
    instances = builder.instances(cells)
    ordered = _in_order(instances, inputs, outputs, names[0])
    initial = builder.initial(modules[names[0]].get("netnames", {}), ordered)
    return Netlist(
        names[0],
        library,
        inputs,
        outputs,
        ordered,
        len(builder.numbers),
        wire_capacitance_ff,
        output_load_ff,
        initial,
    )


class _Builder:
    """Numbers the nets and looks up the cells."""

    def __init__(self, module: str, library: Library) -> None:
        self.module = module
        self.library = library
        self.numbers: dict[object, int] = {"0": ZERO, "1": ONE}

    def net(self, bit: object, place: str) -> int:
        if bit in ("x", "z"):
            raise DesignError(
                f"{self.module}: the mapped netlist has an undefined value at {place}",
                got=f"constant {bit}",
                expected="0, 1 or a driven net",
            )
        return self.numbers.setdefault(bit, len(self.numbers))

    def ports(
        self, ports: Mapping[str, Any]
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
        found: dict[str, dict[str, tuple[int, ...]]] = {"input": {}, "output": {}}
        for name, port in ports.items():
            if port["direction"] not in found:
                raise DesignError(f"{self.module}: port {name} is {port['direction']}")
            nets = [self.net(bit, f"{name}[{k}]") for k, bit in enumerate(port["bits"])]
            found[port["direction"]][name] = tuple(nets)
        return found["input"], found["output"]

    def instances(self, cells: Mapping[str, Any]) -> list[Instance]:
        kinds = {str(cell["type"]) for cell in cells.values()}
        unknown = sorted(kinds - self.library.by_name.keys())
        if unknown:
            reasons = [f"{k}: {self.library.skipped.get(k, 'not in the library')}" for k in unknown]
            raise ConfigError(
                f"{self.module}: the netlist has cells that {self.library.name} cannot evaluate",
                got="; ".join(reasons),
                expected="combinational cells with functions, and flip-flops of one bit",
            )
        return [self._instance(name, cell) for name, cell in cells.items()]

    def _instance(self, name: str, data: Mapping[str, Any]) -> Instance:
        cell = self.library.by_name[data["type"]]
        wires = {pin: bits[0] for pin, bits in data["connections"].items() if bits}
        missing = [pin.name for pin in cell.inputs if pin.name not in wires]
        if missing:
            raise DesignError(f"{self.module}: {name} ({cell.name}) has open inputs", got=missing)
        return Instance(
            name,
            cell,
            tuple(self.net(wires[pin.name], f"{name}.{pin.name}") for pin in cell.inputs),
            tuple(
                self.net(wires[pin.name], f"{name}.{pin.name}") if pin.name in wires else None
                for pin in cell.outputs
            ),
            None if cell.register is None else self.net(("state", name), name),
        )

    def initial(self, names: Mapping[str, Any], instances: Iterable[Instance]) -> dict[int, bool]:
        """Return the initial bits that Yosys' ``init`` attributes give to flip-flops."""
        bits: dict[int, bool] = {}
        for named in names.values():
            values = named.get("attributes", {}).get("init", "")
            # The attribute starts with the most significant bit.
            for bit, value in zip(named["bits"], reversed(values), strict=False):
                if value in "01" and bit in self.numbers:
                    bits[self.numbers[bit]] = value == "1"
        return {
            one.state: bits[net] == truth_table(pin.function, (one.cell.register.state,))[1]
            for one in instances
            if one.cell.register is not None and one.state is not None
            for pin, net in zip(one.cell.outputs, one.outputs, strict=True)
            if net in bits
        }


def _stage(net: int, output: OutputPin, instance: Instance) -> Stage:
    pins = instance.pins
    read = tuple(sorted(pins_of(output.function)))
    # A cell that ties a net to a constant takes its shape from the constant's net.
    operands = tuple(pins[pin] for pin in read) or (ZERO,)
    return Stage(net, output, pins, operands, compiled(output.function, read or ("",)))


def _in_order(
    instances: list[Instance],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
    module: str,
) -> tuple[Instance, ...]:
    """Sort topologically, and check that every net has one driver."""
    known = {ZERO, ONE, *(net for nets in inputs.values() for net in nets)}
    known |= {one.state for one in instances if one.state is not None}
    driven = [net for instance in instances for net in instance.outputs if net is not None]
    if len(set(driven) | known) != len(driven) + len(known):
        raise DesignError(f"{module}: a net of the mapped netlist has more than one driver")
    needed = {net for instance in instances for net in instance.inputs}
    needed |= {net for nets in outputs.values() for net in nets}
    if not needed <= known | set(driven):
        raise DesignError(f"{module}: a net of the mapped netlist has no driver")
    sinks: dict[int, list[int]] = {}
    waiting = []
    for index, instance in enumerate(instances):
        # A flip-flop's outputs wait for its state alone.
        pending = set() if instance.state is not None else set(instance.inputs) - known
        waiting.append(len(pending))
        for net in pending:
            sinks.setdefault(net, []).append(index)
    ready = [index for index, count in enumerate(waiting) if not count]
    order: list[Instance] = []
    for index in ready:  # grows while it is walked
        order.append(instances[index])
        for driven_net in instances[index].outputs:
            for sink in sinks.get(driven_net, ()) if driven_net is not None else ():
                waiting[sink] -= 1
                if not waiting[sink]:
                    ready.append(sink)
    if len(order) != len(instances):
        raise DesignError(f"{module}: the mapped netlist has a combinational loop")
    return tuple(order)
