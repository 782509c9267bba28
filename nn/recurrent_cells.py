"""Recurrent cells, one step at a time, whose matrix products go through a table of either kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from .multiplying import reborn
from .parts import projection_by
from .recurrent_steps import gru_step, lstm_step, rnn_step

if TYPE_CHECKING:
    from torch import Tensor

    from .multipliers import MultiplierTable


class ApproxCell(nn.RNNCellBase):
    """What the three kinds have in common."""

    products: nn.ModuleDict
    _exact: type[nn.RNNCellBase]

    @classmethod
    def from_exact(cls, cell: nn.RNNCellBase, table: MultiplierTable, **options: Any) -> Any:
        """Return a cell that shares the parameters and hooks of an exact one.

        ``products`` holds a layer with a table for each weight, ``ih`` and ``hh``.

        Args:
            cell: torch's own.
            table: the multiplier, of either kind.
            **options: the attributes of `LayerOptions` or `MantissaOptions`, by the kind of table.
        """
        new = reborn(cell, cls)
        weights = {"ih": cell.weight_ih, "hh": cell.weight_hh}
        new.products = nn.ModuleDict(
            {name: projection_by(table, weight, **options) for name, weight in weights.items()}
        )
        return new.train(cell.training)

    def to_exact(self) -> nn.RNNCellBase:
        """Return torch's own cell, sharing this one's parameters and hooks."""
        new = reborn(self, self._exact)
        new._modules.pop("products")
        return new

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # noqa: A002 - torch's name for it
        """Take one step, with the arguments and results of torch's cell.

        Args:
            input: float [B, I] or [I].
            hx: the state, [B, H] or [H]; of an LSTM state and cell; zeros if None.
        """
        batched = input.ndim == 2
        x = input if batched else input.unsqueeze(0)
        if hx is None:
            parts = tuple(x.new_zeros(x.shape[0], self.hidden_size) for _ in range(self._states))
        else:
            given = hx if isinstance(hx, tuple | list) else (hx,)
            parts = tuple(part if batched else part.unsqueeze(0) for part in given)
        from_input = self.products["ih"](x, self.weight_ih, self.bias_ih)
        from_state = self.products["hh"](parts[0], self.weight_hh, self.bias_hh)
        after = self._step(from_input, from_state, parts)
        after = after if batched else tuple(part.squeeze(0) for part in after)
        return after if len(after) > 1 else after[0]

    _states = 1

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Return the next state from both products, biases included."""
        raise NotImplementedError


class ApproxRNNCell(ApproxCell, nn.RNNCell):
    """`torch.nn.RNNCell` with every product of its matrices taken from a table."""

    _exact = nn.RNNCell

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        del state
        return (rnn_step(from_input, from_state, self.nonlinearity),)


class ApproxLSTMCell(ApproxCell, nn.LSTMCell):
    """`torch.nn.LSTMCell` with every product of its matrices taken from a table."""

    _exact = nn.LSTMCell
    _states = 2

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return lstm_step(from_input, from_state, state[1])


class ApproxGRUCell(ApproxCell, nn.GRUCell):
    """`torch.nn.GRUCell` with every product of its matrices taken from a table."""

    _exact = nn.GRUCell

    def _step(
        self, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return (gru_step(from_input, from_state, state[0]),)
