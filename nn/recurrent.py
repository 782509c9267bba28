"""Recurrent layers whose matrix products go through a table; gates are exact, in float.

The formulas are those of torch.nn.RNN, LSTM and GRU. The products of the input are one for a
whole sequence, those of the hidden state one per step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from ..core.errors import ConfigError
from .multiplying import reborn
from .parts import projection_by

if TYPE_CHECKING:
    from torch import Tensor

    from .multipliers import MultiplierTable


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
            input: float [T, B, I], [B, T, I] if batch_first, or [T, I].
            hx: the states to begin with; zeros if None.

        Raises:
            ConfigError: a PackedSequence.
        """
        if isinstance(input, nn.utils.rnn.PackedSequence):
            raise ConfigError(
                f"{type(self).__name__} does not take packed sequences",
                expected="a padded tensor",
                remedy="unpack it with torch.nn.utils.rnn.pad_packed_sequence",
            )
        batched = input.ndim == 3
        x = input if batched else input.unsqueeze(1)
        x = x.transpose(0, 1) if batched and self.batch_first else x
        states = self._begin(hx, x, batched)
        directions = 2 if self.bidirectional else 1
        ends = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                begin = tuple(state[layer * directions + direction] for state in states)
                output, end = self._run(x, begin, f"l{layer}" + ("_reverse" if direction else ""))
                outputs.append(output)
                ends.append(end)
            x = torch.cat(outputs, dim=-1)
            if layer + 1 < self.num_layers:
                x = functional.dropout(x, self.dropout, self.training)
        finals = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        if not batched:
            x, finals = x.squeeze(1), tuple(state.squeeze(1) for state in finals)
        elif self.batch_first:
            x = x.transpose(0, 1)
        return x, finals if len(finals) > 1 else finals[0]

    def _begin(self, hx: Any, x: Tensor, batched: bool) -> tuple[Tensor, ...]:
        count = self.num_layers * (2 if self.bidirectional else 1)
        if hx is None:
            sizes = [self.proj_size or self.hidden_size]
            sizes += [self.hidden_size] if self.mode == "LSTM" else []
            return tuple(x.new_zeros(count, x.shape[1], size) for size in sizes)
        given = hx if isinstance(hx, tuple) else (hx,)
        return given if batched else tuple(state.unsqueeze(1) for state in given)

    def _run(
        self, x: Tensor, state: tuple[Tensor, ...], name: str
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one direction of one layer; return outputs [T, B, H] and the last state."""
        from_input = self._product("ih", name, x)
        reverse = name.endswith("_reverse")
        outputs = []
        for step in reversed(from_input) if reverse else from_input:
            state = self._step(step, self._product("hh", name, state[0]), state)
            if self.proj_size:
                state = (self._product("hr", name, state[0]), *state[1:])
            outputs.append(state[0])
        return torch.stack(outputs[::-1] if reverse else outputs), state

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
        total = from_input + from_state
        return (torch.tanh(total) if self.mode == "RNN_TANH" else torch.relu(total),)


class ApproxLSTM(ApproxRecurrent, nn.LSTM):
    """`torch.nn.LSTM` with every product of its matrices taken from a table.

    Products of gates and states, value by value, stay exact.
    """

    _exact = nn.LSTM

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        into, forget, content, out = (from_input + from_state).chunk(4, dim=-1)
        cell = torch.sigmoid(forget) * state[1] + torch.sigmoid(into) * torch.tanh(content)
        return torch.sigmoid(out) * torch.tanh(cell), cell


class ApproxGRU(ApproxRecurrent, nn.GRU):
    """`torch.nn.GRU` with every product of its matrices taken from a table.

    Products of gates and states, value by value, stay exact.
    """

    _exact = nn.GRU

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        (reset_x, update_x, new_x), (reset_h, update_h, new_h) = (
            part.chunk(3, dim=-1) for part in (from_input, from_state)
        )
        reset, update = torch.sigmoid(reset_x + reset_h), torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + reset * new_h)
        return ((1 - update) * new + update * state[0],)
