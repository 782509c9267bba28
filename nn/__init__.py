"""Networks that multiply through product tables. Needs numpy and torch alone."""

from . import cuda_ops as cuda_ops  # registers what CUDA tensors take
from .activation import synchronize_ranges
from .attention import ApproxMultiheadAttention, approx_attention
from .bias_correction import correct_biases
from .calibrate import OBSERVERS
from .conversion import ChangedLayer, Conversion, ExactLayer
from .convert import approximate, restore, table_ids
from .engines import (
    Availability,
    Conv2dGeometry,
    Engine,
    EngineFallbackWarning,
    LookupTable,
    engine_names,
    get_engine,
    resolve_engine,
)
from .folding import fold_batch_norms
from .gradients import GRADIENTS, Gradient, parse_gradient
from .layers import (
    ApproxConv1d,
    ApproxConv2d,
    ApproxConv3d,
    ApproxConvTranspose2d,
    ApproxLinear,
)
from .mantissa_layers import (
    MantissaConv1d,
    MantissaConv2d,
    MantissaConv3d,
    MantissaConvTranspose2d,
    MantissaLinear,
    MantissaMatmul,
)
from .mantissa_options import PRODUCTS, MantissaOptions
from .matmul import ApproxMatmul
from .matmul_sites import MatmulSite, approximate_matmuls
from .multipliers import MultiplierTable
from .noise import NoisyConv2d, NoisyLinear, RelativeError, add_noise
from .options import QUANTIZERS, LayerOptions
from .quantize import AffineParams, OperandFormat, Quantized
from .range_finding import calibrate
from .recurrent import ApproxGRU, ApproxLSTM, ApproxRNN
from .recurrent_cells import ApproxGRUCell, ApproxLSTMCell, ApproxRNNCell
from .statistics import record_operands

__all__ = [
    "GRADIENTS",
    "OBSERVERS",
    "PRODUCTS",
    "QUANTIZERS",
    "AffineParams",
    "ApproxConv1d",
    "ApproxConv2d",
    "ApproxConv3d",
    "ApproxConvTranspose2d",
    "ApproxGRU",
    "ApproxGRUCell",
    "ApproxLSTM",
    "ApproxLSTMCell",
    "ApproxLinear",
    "ApproxMatmul",
    "ApproxMultiheadAttention",
    "ApproxRNN",
    "ApproxRNNCell",
    "Availability",
    "ChangedLayer",
    "Conv2dGeometry",
    "Conversion",
    "Engine",
    "EngineFallbackWarning",
    "ExactLayer",
    "Gradient",
    "LayerOptions",
    "LookupTable",
    "MantissaConv1d",
    "MantissaConv2d",
    "MantissaConv3d",
    "MantissaConvTranspose2d",
    "MantissaLinear",
    "MantissaMatmul",
    "MantissaOptions",
    "MatmulSite",
    "MultiplierTable",
    "NoisyConv2d",
    "NoisyLinear",
    "OperandFormat",
    "Quantized",
    "RelativeError",
    "add_noise",
    "approx_attention",
    "approximate",
    "approximate_matmuls",
    "calibrate",
    "correct_biases",
    "engine_names",
    "fold_batch_norms",
    "get_engine",
    "parse_gradient",
    "record_operands",
    "resolve_engine",
    "restore",
    "synchronize_ranges",
    "table_ids",
]
