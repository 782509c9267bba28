"""Compiles a C function together with a driver that calls it with every pair of operands."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError, MissingToolError, SimulationError, TimeLimitError
from ...cosim.programs.process import run
from ...cosim.programs.scratch import scratch_folder
from .operands import Operands, Order

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ...cosim.programs.process import Completed
    from .c_prototype import Function

_COMPILER_LIMIT_S = 60.0

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


def find_compiler() -> tuple[str, ...]:
    """Return the command of ``$CXX``, else g++; it compiles C as well.

    Raises:
        MissingToolError: there is no such program.
    """
    command = tuple(shlex.split(os.environ.get("CXX", ""))) or ("g++",)
    if shutil.which(command[0]) is None:
        raise MissingToolError(
            f"{command[0]} is not installed; it is needed to compile functional models",
            remedy="apt-get install g++, or name a compiler in the variable CXX",
        )
    return command


def compiler_version(compiler: tuple[str, ...]) -> str:
    """Return the first line that a compiler answers to ``--version``."""
    lines = run([*compiler, "--version"], limit_s=_COMPILER_LIMIT_S).output.splitlines()
    return lines[0] if lines else shlex.join(compiler)


def results_of(
    path: Path,
    function: Function,
    operands: Operands,
    order: Order,
    compiler: tuple[str, ...],
    limit_s: float,
) -> NDArray[np.int64]:
    """Call a function with every pair of operands, twice, in a process of its own.

    Args:
        path: the source file.
        function: the function.
        operands: widths and signs.
        order: which operand the first parameter is.
        compiler: command of the compiler.
        limit_s: seconds for all calls together.

    Returns:
        Its results as int64 [codes of the first operand, codes of the second].

    Raises:
        ConfigError: it does not compile, or its parameters cannot hold the operands.
        SimulationError: it crashes, ends the program, or answers differently the second time.
        TimeLimitError: it does not come back.
    """
    ports = [(operands.width_a, operands.signed_a), (operands.width_b, operands.signed_b)]
    (first_bits, first_signed), (second_bits, second_signed) = (
        ports if order is Order.AB else ports[::-1]
    )
    driver = _DRIVER.format(
        function=function.name,
        first_type=function.parameters[0][0],
        second_type=function.parameters[1][0],
        result_type=function.result,
        first_bits=first_bits,
        first_signed=int(first_signed),
        second_bits=second_bits,
        second_signed=int(second_signed),
        **_STATUS,
    )
    with scratch_folder("model") as folder:
        program = _built(driver, path, function, compiler, folder)
        done = run([program, folder / "results"], limit_s=limit_s, cwd=folder)
        _check_ending(done, function, path, limit_s)
        results = np.fromfile(folder / "results", dtype=np.int64)
    if results.size != 1 << (first_bits + second_bits):
        raise SimulationError(
            f"{path}: function {function.name!r} ended the program before all calls were made",
            expected="a function that returns for all operands",
        )
    return results.reshape(1 << first_bits, 1 << second_bits)


def _built(
    driver: str, path: Path, function: Function, compiler: tuple[str, ...], folder: Path
) -> Path:
    language = "c" if path.suffix == ".c" else "c++"
    source, program = folder / f"driver.{language}", folder / "driver"
    source.write_text(driver)
    flags = ["-x", language, "-O1", "-w", "-Dmain=rtlgrad_model_main", "-include"]
    built = run(
        [*compiler, *flags, path.resolve(), source, "-lm", "-o", program],
        limit_s=_COMPILER_LIMIT_S,
        cwd=folder,
    )
    if not built.ok:
        raise ConfigError(
            f"{path} does not compile",
            got="nothing within the time limit" if built.timed_out else built.output[-2000:],
            expected=f"a complete {language} source file that defines {function.name!r}",
        )
    return program


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
