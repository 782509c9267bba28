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
        clock_ghz: boost clock; 0 where it is not known. Predictions need it, plans do not.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    shared_bytes: int
    clock_ghz: float = 0.0

    @property
    def architecture(self) -> str:
        """As compilers name it, "sm_90" for example."""
        return f"sm_{self.capability[0]}{self.capability[1]}"


def _kib(size: int) -> int:
    return size << 10


# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability": shared memory per
# block; multiprocessors and boost clocks from NVIDIA's white papers and data sheets.
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("T4", (7, 5), 40, _kib(64), 1.59),
        Gpu("A100", (8, 0), 108, _kib(163), 1.41),
        Gpu("RTX 3090", (8, 6), 82, _kib(99), 1.70),
        Gpu("RTX 6000 Ada", (8, 9), 142, _kib(99), 2.51),
        Gpu("H100", (9, 0), 132, _kib(227), 1.70),
        Gpu("B200", (10, 0), 148, _kib(227), 1.85),
    )
}
"""One model of each architecture that the kernels are compiled for in the tests."""
