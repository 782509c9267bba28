"""Tabulates a C function by calling it, in a program of its own that can crash or hang at will."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from ...core.files import sha256_bytes
from ..table import ProductTable
from .c_driver import compiler_version, find_compiler, results_of
from .c_prototype import Function, bind_order, find_function, scheme
from .operands import Operands, Order, check_widths

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_TIME_LIMIT_S = 60.0
SUFFIXES = (".c", ".cc", ".cpp", ".cxx")


@dataclass(frozen=True, slots=True)
class TabulatedFunction:
    """A table made by calling a C function.

    Attributes:
        table: the table.
        path: the source file.
        sha256: hash of the source file's content.
        function: the function.
        order: which operand its first parameter is.
        order_stated: whether the user said so, rather than the parameters' names.
        operands: widths and signs.
        operands_stated: whether the user said them, rather than the function's name.
        out_bits: bits of the product; the function's result was read with as many.
        compiler: the compiler, as it names itself.
    """

    table: ProductTable
    path: Path
    sha256: str
    function: Function
    order: Order
    order_stated: bool
    operands: Operands
    operands_stated: bool
    out_bits: int
    compiler: str

    @property
    def options(self) -> str:
        """How it was tabulated, in the words of the command line."""
        return (
            f"--function {self.function.name} --order {self.order} --operands {self.operands} "
            f"--out-bits {self.out_bits}"
        )


def tabulate(
    path: str | Path,
    function: str,
    *,
    operands: Operands | None = None,
    order: Order | None = None,
    out_bits: int | None = None,
    time_limit_s: float = DEFAULT_TIME_LIMIT_S,
) -> TabulatedFunction:
    """Call a C or C++ function with every pair of operands.

    Parameters are bound by name (`bind_order`), an operand passed by value to a parameter of a
    signed type and by code to one of an unsigned type. A signed result may come back as a value or
    as a code with zeros above; it must be one of these throughout.

    Args:
        path: the source file; it may include others beside it.
        function: the function's name.
        operands: widths and signs; None to take them from a name such as mul8u_1JFF.
        order: which operand the first parameter is; None to go by the parameters' names.
        out_bits: bits of the product. None: the sum of the operands' widths where they are
            signed, whatever comes where they are not.
        time_limit_s: seconds for all calls together.

    Raises:
        UnknownNameError: no such function.
        ConfigError: it is not a function of two integers, something has to be said that was not,
            it does not compile, or its results do not fit.
        SimulationError: it crashes, or answers differently when called again.
        TimeLimitError: it does not come back.
        MissingToolError: no compiler.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}", got=error.strerror or error) from error
    found = find_function(data.decode(errors="replace"), function, path)
    taken = bind_order(found, order, path)
    known = operands or _operands_of(found, path)
    check_widths(known.width_a, known.width_b, str(path))
    compiler = find_compiler()
    raw = results_of(path, found, known, taken, compiler, time_limit_s)
    results = raw if taken is Order.AB else raw.T
    products = _decoded(results, known, out_bits, found, path)
    bits = out_bits or known.width_a + known.width_b
    if not known.signed_out:
        bits = max(bits, int(products.max()).bit_length())
    return TabulatedFunction(
        table=ProductTable(products, *known.signs, name=function),
        path=path,
        sha256=sha256_bytes(data),
        function=found,
        order=taken,
        order_stated=order is not None,
        operands=known,
        operands_stated=operands is not None,
        out_bits=bits,
        compiler=compiler_version(compiler),
    )


def _operands_of(function: Function, path: Path) -> Operands:
    named = scheme(function.name)
    if named is None:
        raise ConfigError(
            f"{path}: the name of {function.name!r} does not say widths and signs of the operands",
            expected="a name such as mul8u_1JFF, mul12s_2KM or mul8x4u_1AV",
            remedy="say them: --operands u8xu8",
        )
    width_a, width_b, signed = named
    return Operands(width_a, width_b, signed, signed)


def _decoded(
    results: NDArray[np.int64],
    operands: Operands,
    stated: int | None,
    function: Function,
    path: Path,
) -> NDArray[np.int64]:
    """Return products as values.

    A signed product of n bits comes as a value (-2^(n-1) .. 2^(n-1) - 1) or as a code (0 .. 2^n - 1).
    """
    bits = stated or operands.width_a + operands.width_b
    half, low, high = 1 << (bits - 1), int(results.min()), int(results.max())
    if not operands.signed_out:
        most = (1 << min(stated or 31, 31)) - 1
        if low < 0 or high > most:
            _refuse(results, (low, high), f"0 to {most} from unsigned operands", function, path)
        return results
    if low >= 0 and high < 2 * half:
        return np.where(results >= half, results - 2 * half, results)
    if low < -half or high >= half:
        expected = f"{-half} to {half - 1}, or codes of {bits} bits throughout"
        _refuse(results, (low, high), expected, function, path)
    return results


def _refuse(
    results: NDArray[np.int64],
    limits: tuple[int, int],
    expected: str,
    function: Function,
    path: Path,
) -> None:
    at = np.unravel_index(int(np.abs(results).argmax()), results.shape)
    raise ConfigError(
        f"{path}: results of {function.name!r} do not fit",
        got=f"{limits[0]} to {limits[1]}; {results[at]} for the operand codes "
        f"a = {at[0]}, b = {at[1]}",
        expected=expected,
        remedy="say the operands (--operands), or the bits of the product (--out-bits)",
    )
