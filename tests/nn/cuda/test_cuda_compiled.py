"""Every kernel compiles for every supported architecture, without spills, within its limits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cuda_cases import lowrank_table, random_table
from rtlgrad.core.errors import MissingToolError, ToolFailedError
from rtlgrad.nn.engines import LookupTable
from rtlgrad.nn.engines.cuda import predictions
from rtlgrad.nn.engines.cuda.digit_layout import digit_layout
from rtlgrad.nn.engines.cuda.gpus import GPUS
from rtlgrad.nn.engines.cuda.launches import KERNELS, QUANTIZE_KERNEL
from rtlgrad.nn.engines.cuda.machine_code import find_disassembler
from rtlgrad.nn.engines.cuda.nvrtc import compile_kernel
from rtlgrad.nn.engines.cuda.plan import plan_mantissa, table_estimates
from rtlgrad.nn.engines.cuda.problem import matmul

REGISTERS = 1 << 16  # of a multiprocessor, on every architecture here

TABLES = [
    LookupTable(random_table(np.random.default_rng(1), *widths, wide=wide))
    for widths in ((4, 4), (8, 8), (12, 8))
    for wide in (False, True)
]


@pytest.fixture(scope="module")
def nvrtc():
    try:
        compile_kernel(QUANTIZE_KERNEL, "sm_90")
    except MissingToolError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("nvrtc")
@pytest.mark.parametrize("gpu", GPUS.values(), ids=lambda gpu: gpu.architecture)
def test_kernels_compile_without_spills(gpu):
    with ThreadPoolExecutor(2) as pool:
        compiled = pool.map(lambda kernel: compile_kernel(kernel, gpu.architecture), KERNELS)
        for kernel, code in zip(KERNELS, compiled, strict=True):
            assert (code.stack_bytes, code.spill_bytes) == (0, 0), str(kernel)
            assert code.registers * kernel.threads <= REGISTERS, str(kernel)


@pytest.mark.usefixtures("nvrtc")
def test_predicted_rates_of_an_h100_from_its_machine_code():
    """Bounds that the routes were designed for, in 10^12 products per second."""
    # 32 words on 32 banks never collide; 64 words, two to a bank, at most once.
    assert predictions.conflict_degree(128, 1) == 1.0
    assert 1.0 < predictions.conflict_degree(256, 1) <= 2.0
    # Of 8 rows of 4 words in 8 groups of banks, at least two of 8 codes mostly meet; of 32 in 32 more.
    assert 2.0 < predictions.digit_conflicts(16) < predictions.digit_conflicts(8)
    assert predictions.digit_conflicts(8) < predictions.digit_conflicts(4) < 4.0
    try:
        find_disassembler()
    except MissingToolError as error:
        pytest.skip(str(error))
    rates = {
        route.label: predictions.predict(route, GPUS["H100"]).tera_products
        for route in predictions.routes()
    }
    assert rates["table, expanded, 16 bit"] >= 2.5
    assert rates["mantissas, 7 bit"] >= 3.0
    assert rates["low rank, 16 digits"] >= 20.0


@pytest.mark.usefixtures("nvrtc")
def test_a_source_that_is_wrong_is_refused_with_the_compilers_words():
    with pytest.raises(ToolFailedError, match="sm_10"):
        compile_kernel(QUANTIZE_KERNEL, "sm_10")


@pytest.mark.parametrize("gpu", GPUS.values(), ids=lambda gpu: gpu.architecture)
@pytest.mark.parametrize(
    "sizes", [(7, 27, 16), (100_000, 144, 16), (3136, 576, 64), (64, 9000, 512)]
)
def test_every_plan_fits_the_shared_memory(gpu, sizes):
    _, K, N = sizes
    problem = matmul(sizes, (K, 1), (N, 1))
    for table in TABLES:
        digits = digit_layout(lowrank_table(np.random.default_rng(2), 8, 8).factors.bytes)
        found = table_estimates(problem, table, gpu, kinds=(0, 0), digits=digits)
        assert found
        assert all(0 < e.launch.shared_bytes <= gpu.shared_bytes for e in found.values())
    for bits in (1, 7, 11):
        launch = plan_mantissa(problem, bits, gpu, kinds=(0, 0))
        assert 0 < launch.shared_bytes <= gpu.shared_bytes
        assert launch.members["splits"] * launch.members["split_depth"] >= K
