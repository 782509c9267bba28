"""The formats themselves. Facts were read in the projects' sources; docs/exchange.md names where."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from . import binary, c_header, text
from .formats import ANY_SIGNS, EQUAL_SIGNS, INT32, SIGNED, UINT16, UNSIGNED, Axis, Format
from .operands import Order

if TYPE_CHECKING:
    from collections.abc import Mapping

_BYTES = ((8, 8),)
_EXACT_FLOAT32 = (-(1 << 24), 1 << 24)
_LAYERS_DIFFER = (
    "its convolutions look up [weight][activation] and its linear layers "
    "[activation][weight], so a file suits one kind of layer: say which (ba or ab)"
)

_ALL = (
    Format(
        name="tf-approximate",
        summary="65,536 raw 16-bit words, little-endian, entry (a << 8) | b",
        suffix=".bin",
        axis=Axis.CODES,
        order=Order.AB,
        order_note="its kernels look up (activation << 8) | weight",
        signs=ANY_SIGNS,
        widths=_BYTES,
        limits=UINT16,
        entry_bits=16,
        parse=binary.parse_words,
        render=binary.render_words,
    ),
    Format(
        name="adapt",
        summary="C header, int16_t lut[256][256] by code",
        suffix=".h",
        axis=Axis.CODES,
        order=None,
        order_note=_LAYERS_DIFFER,
        signs=SIGNED,
        widths=_BYTES,
        limits=INT32,
        entry_bits=None,
        parse=c_header.parse_header,
        render=c_header.render_adapt,
    ),
    Format(
        name="transaxx",
        summary="C header, const __device__ short lut[256][256] by code",
        suffix=".h",
        axis=Axis.CODES,
        order=None,
        order_note=_LAYERS_DIFFER,
        signs=SIGNED,
        widths=_BYTES,
        limits=INT32,
        entry_bits=None,
        parse=c_header.parse_header,
        render=c_header.render_transaxx,
    ),
    Format(
        name="approxtorch",
        summary="text, a row a line; signed operands run from -128 to 127",
        suffix=".txt",
        axis=Axis.VALUES,
        order=Order.AB,
        order_note="its kernels look up [activation][weight]",
        signs=EQUAL_SIGNS,
        widths=_BYTES,
        # Its kernels hold the table in float32.
        limits=_EXACT_FLOAT32,
        entry_bits=None,
        parse=text.parse_matrix,
        render=text.render_matrix,
    ),
    Format(
        name="torchapprox",
        summary="NumPy file, int32 256 x 256 by code",
        suffix=".npy",
        axis=Axis.CODES,
        order=None,
        order_note=_LAYERS_DIFFER + "; its documentation says [activation][weight]",
        signs=EQUAL_SIGNS,
        widths=_BYTES,
        limits=INT32,
        entry_bits=None,
        parse=binary.parse_int32_npy,
        render=binary.render_npy,
    ),
    Format(
        name="appmult",
        summary="text, a line 'a b product' for each pair (AppMult-Aware-Retraining)",
        suffix=".txt",
        axis=Axis.VALUES,
        order=Order.AB,
        order_note="its kernels look up [activation][weight]",
        signs=UNSIGNED,
        widths=((4, 4), (6, 6), (7, 7), (8, 8)),
        limits=UINT16,
        entry_bits=None,
        parse=text.parse_appmult,
        render=text.render_appmult,
    ),
    Format(
        name="npy",
        summary="NumPy file, integers [2^wa, 2^wb] by code",
        suffix=".npy",
        axis=Axis.CODES,
        order=None,
        order_note="an array does not say which operand its rows are",
        signs=ANY_SIGNS,
        widths=None,
        limits=INT32,
        entry_bits=None,
        parse=binary.parse_npy,
        render=binary.render_npy,
    ),
    Format(
        name="csv",
        summary="text with the heading a,b,product, then values",
        suffix=".csv",
        axis=Axis.VALUES,
        order=Order.AB,
        order_note="its columns are named",
        signs=ANY_SIGNS,
        widths=None,
        limits=INT32,
        entry_bits=None,
        parse=text.parse_csv,
        render=text.render_csv,
    ),
)

FORMATS: Mapping[str, Format] = MappingProxyType({entry.name: entry for entry in _ALL})
"""The formats of product tables by name."""
