"""Tabulates a C function by calling it, in a program of its own that can crash or hang at will."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError, MissingToolError, SimulationError, TimeLimitError
from ...core.files import sha256_bytes
from ...cosim.process import run
from ..table import ProductTable
from .c_prototype import Function, bind_order, find_function, scheme
from .operands import Operands, Order, check_widths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...cosim.process import Completed

DEFAULT_TIME_LIMIT_S = 60.0
_COMPILER_LIMIT_S = 60.0
SUFFIXES = (".c", ".cc", ".cpp", ".cxx")

# Each operand is passed as its value if the parameter's type is signed, and as its code if not: so
# that both int8_t and a uint64_t of which eight bits are used get what they mean. The second sweep
# runs column by column: a function that keeps a state answers differently.
_DRIVER = r"""
#undef main
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef {first_type} first_t;
typedef {second_type} second_t;
typedef {result_type} result_t;
#define SIGNED(type) ((type)-1 < (type)0)
#define FITS(type, bits, is_signed) ((type)0.5 == 0 && \
    (int)sizeof(type) * 8 >= (bits) + (SIGNED(type) && !(is_signed)))

static int64_t operand(long code, int bits, int is_signed, int type_is_signed) {{
    return is_signed && type_is_signed && (code >> (bits - 1)) ? code - (1L << bits) : code;
}}

static int64_t answer(long i, long j) {{
    return (int64_t){function}(
        (first_t)operand(i, {first_bits}, {first_signed}, SIGNED(first_t)),
        (second_t)operand(j, {second_bits}, {second_signed}, SIGNED(second_t)));
}}

int main(int argc, char **argv) {{
    const long rows = 1L << {first_bits}, columns = 1L << {second_bits};
    if (!FITS(first_t, {first_bits}, {first_signed}) ||
        !FITS(second_t, {second_bits}, {second_signed}) || (result_t)0.5 != 0)
        return {type_status};
    int64_t *out = (int64_t *)malloc(sizeof(int64_t) * (size_t)(rows * columns));
    FILE *file = argc == 2 ? fopen(argv[1], "wb") : NULL;
    if (!out || !file) return {system_status};
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) out[i * columns + j] = answer(i, j);
    for (long j = 0; j < columns; j++)
        for (long i = 0; i < rows; i++)
            if (out[i * columns + j] != answer(i, j)) return {state_status};
    if (fwrite(out, sizeof(int64_t), (size_t)(rows * columns), file) != (size_t)(rows * columns))
        return {system_status};
    return fclose(file) ? {system_status} : 0;
}}
"""
_STATUS = {"type_status": 201, "state_status": 202, "system_status": 203}


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
        return f"--function {self.function.name} --order {self.order} --operands {self.operands}"


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
    compiler = _compiler()
    raw = _called(path, found, known, taken, compiler, time_limit_s)
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
        compiler=_version(compiler),
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


def _compiler() -> tuple[str, ...]:
    command = tuple(shlex.split(os.environ.get("CXX", ""))) or ("g++",)
    if shutil.which(command[0]) is None:
        raise MissingToolError(
            f"{command[0]} is not installed; it is needed to compile functional models",
            remedy="apt-get install g++, or name a compiler in the variable CXX",
        )
    return command


def _version(compiler: tuple[str, ...]) -> str:
    lines = run([*compiler, "--version"], limit_s=_COMPILER_LIMIT_S).output.splitlines()
    return lines[0] if lines else shlex.join(compiler)


def _called(
    path: Path,
    function: Function,
    operands: Operands,
    order: Order,
    compiler: tuple[str, ...],
    limit_s: float,
) -> NDArray[np.int64]:
    """Return the function's results, int64 [codes of the first operand, codes of the second]."""
    ports = [(operands.width_a, operands.signed_a), (operands.width_b, operands.signed_b)]
    first, second = ports if order is Order.AB else ports[::-1]
    driver = _DRIVER.format(
        function=function.name,
        first_type=function.parameters[0][0],
        second_type=function.parameters[1][0],
        result_type=function.result,
        first_bits=first[0],
        first_signed=int(first[1]),
        second_bits=second[0],
        second_signed=int(second[1]),
        **_STATUS,
    )
    language = "c" if path.suffix == ".c" else "c++"
    with tempfile.TemporaryDirectory(prefix="rtlgrad-model-") as name:
        folder = Path(name)
        source = folder / f"driver.{language}"
        source.write_text(driver)
        flags = ["-x", language, "-O1", "-w", "-Dmain=rtlgrad_model_main", "-include"]
        built = run(
            [*compiler, *flags, path.resolve(), source, "-lm", "-o", folder / "driver"],
            limit_s=_COMPILER_LIMIT_S,
            cwd=folder,
        )
        if not built.ok:
            raise ConfigError(
                f"{path} does not compile",
                got="nothing within the time limit" if built.timed_out else built.output[-2000:],
                expected=f"a complete {language} source file that defines {function.name!r}",
            )
        done = run([folder / "driver", folder / "results"], limit_s=limit_s, cwd=folder)
        _check_ending(done, function, path, limit_s)
        results = np.fromfile(folder / "results", dtype=np.int64)
    return results.reshape(1 << first[0], 1 << second[0])


def _check_ending(done: Completed, function: Function, path: Path, limit_s: float) -> None:
    what = f"{path}: function {function.name!r}"
    if done.timed_out:
        raise TimeLimitError(
            f"{what} did not answer every pair of operands in {limit_s:g} s",
            remedy="give it more time with --time-limit, if it ends at all",
        )
    if done.code == _STATUS["type_status"]:
        raise ConfigError(
            f"{what} has parameters that cannot hold the operands",
            got=f"{function.result} {function.name}"
            f"({', '.join(' '.join(parameter) for parameter in function.parameters)})",
            expected="integer types at least as wide as the operands",
            remedy="say the operands: --operands u8xu8",
        )
    if done.code == _STATUS["state_status"]:
        raise SimulationError(
            f"{what} answers differently when called again with the same operands",
            expected="a result that depends on the operands alone",
        )
    code = done.code or 0
    if code != 0:
        raise SimulationError(
            f"{what} did not survive being called with every pair of operands",
            got=f"ended by signal {-code}" if code < 0 else f"ended with status {code}",
            expected="a function that returns for all operands",
        )


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
