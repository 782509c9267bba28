"""Recurrent layers whose matrix products go through a table of either kind; gates are exact.

The products of the input are one for a whole sequence, those of the hidden state one per step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from .multiplying import reborn
from .parts import projection_by
from .recurrent_steps import gru_step, lstm_step, rnn_step

if TYPE_CHECKING:
    from torch import Tensor

    from .multipliers import MultiplierTable


@dataclass(frozen=True)
class _Sequence:
    """Sequences as they are run over: all rows of all times, those of a time together.

    Attributes:
        rows: [N, I], first those of time 0, then of time 1, and so on.
        sizes: how many sequences there are at each time; never more than before.
        given: "packed", "unbatched", "batch first" or "time first".
        packed: what the rows came from, if that is a PackedSequence.
    """

    rows: Tensor
    sizes: list[int]
    given: str
    packed: PackedSequence | None = None

    @classmethod
    def of(cls, x: Any, *, batch_first: bool) -> _Sequence:
        """Read the input of a layer."""
        if isinstance(x, PackedSequence):
            return cls(x.data, x.batch_sizes.tolist(), "packed", x)
        if x.ndim == 2:
            return cls(x, [1] * len(x), "unbatched")
        times_first = x.transpose(0, 1) if batch_first else x
        sizes = [times_first.shape[1]] * times_first.shape[0]
        return cls(times_first.flatten(0, 1), sizes, "batch first" if batch_first else "time first")

    def as_given(self) -> Any:
        """Return the rows as a layer returns its outputs for such an input."""
        if self.packed is not None:
            return self.packed._replace(data=self.rows)
        if self.given == "unbatched":
            return self.rows
        y = self.rows.view(len(self.sizes), -1, self.rows.shape[-1])
        return y.transpose(0, 1) if self.given == "batch first" else y

    def states_as_run(self, state: Tensor) -> Tensor:
        """Return states [layers, B, H] in the order of the rows, from those that a layer is given."""
        if self.packed is not None and self.packed.sorted_indices is not None:
            return state.index_select(1, self.packed.sorted_indices)
        return state.unsqueeze(1) if self.given == "unbatched" else state

    def states_as_given(self, state: Tensor) -> Tensor:
        """Undo `states_as_run`."""
        if self.packed is not None and self.packed.unsorted_indices is not None:
            return state.index_select(1, self.packed.unsorted_indices)
        return state.squeeze(1) if self.given == "unbatched" else state


class ApproxRecurrent(nn.RNNBase):
    """What the three kinds have in common: layers, directions, layout."""

    products: nn.ModuleDict
    _exact: type[nn.RNNBase]

    @classmethod
    def from_exact(cls, layer: nn.RNNBase, table: MultiplierTable, **options: Any) -> Any:
        """Return a layer that shares the parameters and hooks of an exact one.

        ``products`` holds a layer with a table for each weight: ``ih_l0`` for ``weight_ih_l0``.

        Args:
            layer: torch's own.
            table: the multiplier, of either kind.
            **options: the attributes of `LayerOptions` or `MantissaOptions`, by the kind of table.
        """
        new = reborn(layer, cls)
        weights = [name for name, _ in layer.named_parameters() if name.startswith("weight_")]
        new.products = nn.ModuleDict(
            {
                name.removeprefix("weight_"): projection_by(table, getattr(layer, name), **options)
                for name in weights
            }
        )
        return new.train(layer.training)

    def to_exact(self) -> nn.RNNBase:
        """Return torch's own layer, sharing this one's parameters and hooks."""
        new = reborn(self, self._exact)
        new._modules.pop("products")
        return new

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002 - torch's name for it
        """Run over sequences, with the arguments and results of torch's layer.

        Args:
            input: float [T, B, I], [B, T, I] if batch_first, [T, I], or a PackedSequence.
            hx: the states to begin with; zeros if None.
        """
        sequence = _Sequence.of(input, batch_first=self.batch_first)
        states = self._begin(hx, sequence)
        directions = 2 if self.bidirectional else 1
        ends = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                begin = tuple(state[layer * directions + direction] for state in states)
                name = f"l{layer}" + ("_reverse" if direction else "")
                output, end = self._run(sequence, begin, name)
                outputs.append(output)
                ends.append(end)
            rows = torch.cat(outputs, dim=-1)
            if layer + 1 < self.num_layers:
                rows = functional.dropout(rows, self.dropout, self.training)
            sequence = replace(sequence, rows=rows)
        finals = tuple(
            sequence.states_as_given(torch.stack(parts)) for parts in zip(*ends, strict=True)
        )
        return sequence.as_given(), finals if len(finals) > 1 else finals[0]

    def _begin(self, hx: Any, sequence: _Sequence) -> tuple[Tensor, ...]:
        count = self.num_layers * (2 if self.bidirectional else 1)
        if hx is None:
            sizes = [self.proj_size or self.hidden_size]
            sizes += [self.hidden_size] if self.mode == "LSTM" else []
            batch = sequence.sizes[0]
            return tuple(sequence.rows.new_zeros(count, batch, size) for size in sizes)
        given = hx if isinstance(hx, tuple) else (hx,)
        return tuple(sequence.states_as_run(state) for state in given)

    def _run(
        self, sequence: _Sequence, state: tuple[Tensor, ...], name: str
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one direction of one layer; return outputs [N, H] and the last states [B, H]."""
        from_input = torch.split(self._product("ih", name, sequence.rows), sequence.sizes)
        steps = list(enumerate(sequence.sizes))
        reverse = name.endswith("_reverse")
        outputs = []
        for time, size in reversed(steps) if reverse else steps:
            # Sequences that are over, or have not begun, keep their state.
            now = tuple(part[:size] for part in state)
            after = self._step(from_input[time], self._product("hh", name, now[0]), now)
            if self.proj_size:
                after = (self._product("hr", name, after[0]), *after[1:])
            outputs.append(after[0])
            state = tuple(
                new if size == len(old) else torch.cat([new, old[size:]])
                for new, old in zip(after, state, strict=True)
            )
        return torch.cat(outputs[::-1] if reverse else outputs), state

    def _product(self, which: str, name: str, x: Tensor) -> Tensor:
        bias = getattr(self, f"bias_{which}_{name}", None) if self.bias else None
        product: Tensor = self.products[f"{which}_{name}"](
            x, getattr(self, f"weight_{which}_{name}"), bias
        )
        return product

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Return the next state from both products, biases included."""
        raise NotImplementedError


class ApproxRNN(ApproxRecurrent, nn.RNN):
    """`torch.nn.RNN` with every product of its matrices taken from a table."""

    _exact = nn.RNN

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        del state
        return (rnn_step(from_input, from_state, self.nonlinearity),)


class ApproxLSTM(ApproxRecurrent, nn.LSTM):
    """`torch.nn.LSTM` with every product of its matrices taken from a table."""

    _exact = nn.LSTM

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return lstm_step(from_input, from_state, state[1])


class ApproxGRU(ApproxRecurrent, nn.GRU):
    """`torch.nn.GRU` with every product of its matrices taken from a table."""

    _exact = nn.GRU

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return (gru_step(from_input, from_state, state[0]),)
