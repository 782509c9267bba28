"""What of a GPU decides how a kernel is launched, and the models that predictions are made for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the planner sees it.

    Attributes:
        name: of the model.
        capability: compute capability, (major, minor).
        multiprocessors: how many it has.
        shared_bytes: the most shared memory that one block can have.
        clock_ghz: the clock to count with; 0 where it is not known. Predictions need it, plans do not.
        byte_products: products of bytes that a multiprocessor's tensor cores make per cycle by
            mma.sync; 0 where it is not known. As the clock.
        shared_bandwidth: bytes that a multiprocessor reads from shared memory per cycle.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    shared_bytes: int
    clock_ghz: float = 0.0
    byte_products: int = 0
    shared_bandwidth: int = 128

    @property
    def architecture(self) -> str:
        """As compilers name it, "sm_90" for example."""
        return f"sm_{self.capability[0]}{self.capability[1]}"


def _kib(size: int) -> int:
    return size << 10


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("T4", (7, 5), 40, _kib(64), 1.59, 1024, shared_bandwidth=64),
        Gpu("A100", (8, 0), 108, _kib(163), 1.41, 2048),
        Gpu("RTX 3090", (8, 6), 82, _kib(99), 1.70, 1024),
        Gpu("RTX 6000 Ada", (8, 9), 142, _kib(99), 2.51, 1024),
        Gpu("H100", (9, 0), 132, _kib(227), 1.70, 2576),
        Gpu("B200", (10, 0), 148, _kib(227), 1.85, 2048),
    )
}
"""One model of each architecture that the kernels are compiled for in the tests; see `SOURCES`."""

_GUIDE = "CUDA C++ Programming Guide 13, Compute Capabilities"

SOURCES = {
    "shared memory of a block": f"{_GUIDE}, table Memory Information per Compute Capability",
    "32 banks of 4 bytes a cycle": f"{_GUIDE}, Shared Memory",
    "T4: 64 bytes a cycle": "assumption: half of the others, as its 64 KiB of cache and 64 lanes are",
    "4 warp instructions a cycle": f"{_GUIDE}: 4 warp schedulers of a multiprocessor",
    "multiprocessors": "NVIDIA's architecture white papers, as public tables of specifications repeat "
    "them: 40, 108, 82, 142, 132 (H100 SXM5), 148",
    "clock of T4, A100": "boost clocks of the same tables",
    "clock of RTX 3090, RTX 6000 Ada": "assumption: the data sheets' boost clocks, 1.695 and 2.505 GHz, "
    "not looked up again",
    "clock of H100": "assumption: 1.70 GHz under load; the boost clock is 1.98 GHz, and the data sheet's "
    "989 TFLOPS of dense fp16 are 1.83 GHz",
    "clock of B200": "1.85 GHz; the same tables give 1.86 GHz for its tensor cores, 1.98 GHz at most",
    "mma.sync of bytes, A100": "data sheet: 624 TOPS / (2 x 108 x 1.41 GHz) = 2048 products a cycle",
    "mma.sync of bytes, T4, RTX 3090, RTX 6000 Ada": "assumption: 1024, half of an A100's multiprocessor",
    "mma.sync of bytes, H100": "assumption: 62.9 % of the peak of 4096, a measured average quoted at second "
    "hand, probably from W. Luo et al. (arXiv:2402.13499)",
    "mma.sync of bytes, B200": "assumption: an A100's rate; its peak is for tcgen05, which is not used",
}
"""Where each figure of `GPUS`, and of the model that counts with them, comes from."""
