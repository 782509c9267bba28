"""Attention whose projections, scores and mixtures all multiply through a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from torch.nn import functional

from ..core.errors import ConfigError
from .multiplying import reborn
from .parts import linear_by, matmul_by, projection_by

if TYPE_CHECKING:
    from torch import Tensor

    from .mantissa_layers import MantissaMatmul, MantissaProjection
    from .matmul import ApproxMatmul, ApproxProjection
    from .multipliers import MultiplierTable


def approx_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scores: ApproxMatmul | MantissaMatmul,
    mixture: ApproxMatmul | MantissaMatmul,
    *,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Do what `torch.nn.functional.scaled_dot_product_attention` does, through tables.

    ``scores`` multiplies queries (operand a) and keys (operand b), ``mixture`` the attention
    weights (a) and values (b). Scaling, mask, softmax and dropout are exact, in float32.

    Args:
        query: [..., heads, L, E].
        key: [..., heads, S, E].
        value: [..., heads, S, Ev].
        scores: makes [..., heads, L, S].
        mixture: makes [..., heads, L, Ev].
        attn_mask: bool (True takes part) or float (added), broadcastable to the scores.
        dropout_p: share of attention weights dropped.
        is_causal: position i sees positions up to i alone; excludes ``attn_mask``.
        scale: of the scores; 1 / sqrt(E) if None.
        enable_gqa: keys and values have fewer heads, each shared by several of the query's.

    Raises:
        ConfigError: both a mask and is_causal.
    """
    if attn_mask is not None and is_causal:
        raise ConfigError("attention was given a mask and is_causal", expected="one of them")
    if enable_gqa:
        share = query.shape[-3] // key.shape[-3]
        key, value = (t.repeat_interleave(share, -3) for t in (key, value))
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = scores(query, key.transpose(-2, -1)).float() * factor
    if is_causal:
        L, S = logits.shape[-2:]
        attn_mask = torch.ones(L, S, dtype=torch.bool, device=logits.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = logits.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        logits = logits + attn_mask.float()
    weights = functional.dropout(logits.softmax(dim=-1), dropout_p)
    mixed: Tensor = mixture(weights, value)
    return mixed.to(query.dtype)


class ApproxMultiheadAttention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` with every product taken from a table.

    Its parts are layers with a table of their own: ``query``, ``key`` and ``value`` project by
    the parameters that torch's module keeps, ``scores`` and ``mixture`` multiply two inputs, and
    ``out_proj`` is a linear layer with a table. Parameters keep their names.
    """

    query: ApproxProjection | MantissaProjection
    key: ApproxProjection | MantissaProjection
    value: ApproxProjection | MantissaProjection
    scores: ApproxMatmul | MantissaMatmul
    mixture: ApproxMatmul | MantissaMatmul

    @classmethod
    def from_exact(
        cls, layer: nn.MultiheadAttention, table: MultiplierTable, **options: Any
    ) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one.

        Args:
            layer: torch's own.
            table: the multiplier, of either kind.
            **options: the attributes of `LayerOptions` or `MantissaOptions`, by the kind of table.

        Raises:
            ConfigError: bias_k, bias_v or add_zero_attn are used, which are not supported.
        """
        if layer.bias_k is not None or layer.bias_v is not None or layer.add_zero_attn:
            raise ConfigError(
                "this MultiheadAttention cannot be made approximate",
                got="add_bias_kv or add_zero_attn",
                expected="neither",
            )
        new = reborn(layer, cls)
        like = layer.out_proj.weight
        for name in ("query", "key", "value"):
            setattr(new, name, projection_by(table, like, **options))
        for name in ("scores", "mixture"):
            setattr(new, name, matmul_by(table, like.device, **options))
        plain: Any = reborn(layer.out_proj, nn.Linear)
        new.out_proj = linear_by(table, plain, **options)  # type: ignore[assignment]
        # torch.nn.TransformerEncoderLayer then calls its parts, instead of handing their weights
        # to one fused kernel.
        new._qkv_same_embed_dim = False
        return new.train(layer.training)

    def to_exact(self) -> nn.MultiheadAttention:
        """Return a torch.nn.MultiheadAttention that shares this layer's parameters and hooks."""
        new = reborn(self, nn.MultiheadAttention)
        for name in ("query", "key", "value", "scores", "mixture"):
            new._modules.pop(name)
        kind: Any = nn.modules.linear.NonDynamicallyQuantizableLinear
        new.out_proj = reborn(self.out_proj, kind)
        new._qkv_same_embed_dim = self.in_proj_weight is not None
        return new

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend, with the arguments and results of torch.nn.MultiheadAttention.

        A mask says everything; ``is_causal`` is torch's hint beside it, and needs one.
        """
        del is_causal
        batched = query.ndim == 3
        q, k, v = self._project(*(self._batch_first(t, batched) for t in (query, key, value)))
        mask = self._mask(attn_mask, key_padding_mask, q, batched)
        logits = self.scores(q, k.transpose(-2, -1)).float() / math.sqrt(q.shape[-1])
        weights = (logits if mask is None else logits + mask).softmax(dim=-1)
        dropped = functional.dropout(weights, self.dropout, self.training)
        mixed = self.mixture(dropped, v).transpose(1, 2).flatten(2)
        out: Tensor = self.out_proj(mixed.to(self.out_proj.weight.dtype))
        if not batched:
            out = out.squeeze(0)
        elif not self.batch_first:
            out = out.transpose(0, 1)
        if not need_weights:
            return out, None
        shown = weights.mean(dim=1) if average_attn_weights else weights
        return out, shown if batched else shown.squeeze(0)

    def _batch_first(self, t: Tensor, batched: bool) -> Tensor:
        if not batched:
            return t.unsqueeze(0)
        return t if self.batch_first else t.transpose(0, 1)

    def _project(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values [B, heads, L, head_dim]."""
        weights = (
            self.in_proj_weight.chunk(3)
            if self.in_proj_weight is not None
            else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        )
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        parts = zip((self.query, self.key, self.value), inputs, weights, biases, strict=True)
        return tuple(
            part(x, weight, bias).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for part, x, weight, bias in parts
        )

    def _mask(
        self, attn_mask: Tensor | None, padding: Tensor | None, q: Tensor, batched: bool
    ) -> Tensor | None:
        """Return what is added to the scores; a bool mask of torch's module forbids where True."""
        total = None
        if attn_mask is not None:
            total = _additive(attn_mask)
            if total.ndim == 3:
                total = total.view(-1, self.num_heads, *total.shape[1:])
        if padding is not None:
            keys = _additive(padding if batched else padding.unsqueeze(0))[:, None, None, :]
            total = keys if total is None else total + keys
        return total


def _additive(mask: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.float()
    return torch.zeros(mask.shape, device=mask.device).masked_fill(mask, float("-inf"))
