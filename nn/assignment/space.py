"""What a search chooses from: a multiplier for each tile, and a tile for each layer.

Source: V. Mrazek et al., "ALWANN: Automatic Layer-Wise Approximation of Deep Neural Network
Accelerators without Retraining", ICCAD 2019, section III. An accelerator has fewer tiles than the
network has layers, and all multipliers of a tile are of one design. In a pipelined accelerator
each tile computes a group of consecutive layers; in a power-gated one layers run one after
another, each on any tile, and the other tiles are off meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Accelerator(StrEnum):
    """How layers share tiles."""

    PIPELINED = "pipelined"
    """Each tile has a group of consecutive layers, and works on them all the time."""
    GATED = "gated"
    """Each layer has any tile; the tiles that it does not use are off."""


@dataclass(frozen=True, slots=True)
class TileMap:
    """An assignment: which design each tile multiplies with, and which tile computes each layer.

    Attributes:
        designs: of the tiles.
        tile_of: number of the tile of each layer, in the order of the layers.
    """

    designs: tuple[str, ...]
    tile_of: tuple[int, ...]

    @property
    def by_layer(self) -> tuple[str, ...]:
        """The design of each layer; accuracy and energy depend on it alone."""
        return tuple(self.designs[tile] for tile in self.tile_of)


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """All assignments of an accelerator, and genes for them that cannot say anything illegal.

    Attributes:
        accelerator: how layers share tiles.
        layers: names, in the order in which the network computes them.
        designs: to choose from.
        tiles: of the accelerator, fewer than layers.

    Raises:
        ConfigError: as many tiles as layers or more, none, or designs named twice.
    """

    accelerator: Accelerator
    layers: tuple[str, ...]
    designs: tuple[str, ...]
    tiles: int

    def __post_init__(self) -> None:
        if not 1 <= self.tiles < len(self.layers):
            raise ConfigError(
                "an accelerator has fewer tiles than the network has layers",
                got=f"{self.tiles} tiles, {len(self.layers)} layers",
                expected=f"1 to {len(self.layers) - 1} tiles",
            )
        if not self.designs or len(set(self.designs)) != len(self.designs):
            raise ConfigError(
                "designs to choose from", got=self.designs, expected="one or more, each once"
            )

    @property
    def genes(self) -> dict[str, tuple[str | int, ...]]:
        """Name -> legal values of each gene; every combination is an assignment."""
        genes: dict[str, tuple[str | int, ...]] = {
            f"tile {tile}": self.designs for tile in range(self.tiles)
        }
        if self.accelerator is Accelerator.PIPELINED:
            free = tuple(range(len(self.layers) - self.tiles + 1))
            return genes | {f"cut {cut}": free for cut in range(self.tiles - 1)}
        return genes | {f"layer {layer}": tuple(range(self.tiles)) for layer in self.layers}

    def decode(self, genome: Mapping[str, Any]) -> TileMap:
        """Return the assignment that genes stand for, in its canonical form.

        The cuts of a pipeline are sorted, and the i-th is moved by i + 1 layers: so groups are
        never empty, and each set of cuts can be had. Of a power-gated accelerator, tiles that no
        layer uses are left out, tiles of one design become one, and they are numbered in the
        order of their first layer: none of this changes what any layer multiplies with.
        """
        designs = tuple(str(genome[f"tile {tile}"]) for tile in range(self.tiles))
        if self.accelerator is Accelerator.PIPELINED:
            cuts = sorted(int(genome[f"cut {cut}"]) for cut in range(self.tiles - 1))
            starts = [0, *(cut + place + 1 for place, cut in enumerate(cuts)), len(self.layers)]
            sizes = [after - before for before, after in pairwise(starts)]
            return TileMap(designs, tuple(t for t, size in enumerate(sizes) for _ in range(size)))
        wanted = [designs[int(genome[f"layer {layer}"])] for layer in self.layers]
        used = tuple(dict.fromkeys(wanted))
        return TileMap(used, tuple(used.index(design) for design in wanted))

    def encode(self, assignment: TileMap) -> dict[str, str | int]:
        """Return genes that `decode` turns into an assignment; tiles left over copy the first.

        Raises:
            ConfigError: the assignment is none of this accelerator.
        """
        self.check(assignment)
        designs = assignment.designs + assignment.designs[:1] * (
            self.tiles - len(assignment.designs)
        )
        genes: dict[str, str | int] = {f"tile {t}": design for t, design in enumerate(designs)}
        if self.accelerator is Accelerator.PIPELINED:
            starts = [assignment.tile_of.index(tile) for tile in range(1, self.tiles)]
            return genes | {f"cut {cut}": start - cut - 1 for cut, start in enumerate(starts)}
        tiles = zip(self.layers, assignment.tile_of, strict=True)
        return genes | {f"layer {layer}": tile for layer, tile in tiles}

    def single(self, design: str) -> dict[str, str | int]:
        """Return genes of the assignment of one design to all layers, in even groups."""
        even = [place * self.tiles // len(self.layers) for place in range(len(self.layers))]
        genes: dict[str, str | int] = {f"tile {tile}": design for tile in range(self.tiles)}
        if self.accelerator is Accelerator.PIPELINED:
            starts = [even.index(tile) for tile in range(1, self.tiles)]
            return genes | {f"cut {cut}": start - cut - 1 for cut, start in enumerate(starts)}
        return genes | {f"layer {n}": tile for n, tile in zip(self.layers, even, strict=True)}

    def check(self, assignment: TileMap) -> None:
        """Make sure that an assignment is one of this accelerator.

        Raises:
            ConfigError: it is not; says why.
        """
        used = list(dict.fromkeys(assignment.tile_of))
        pipelined = self.accelerator is Accelerator.PIPELINED
        if len(assignment.tile_of) != len(self.layers):
            raise _unfit(f"{len(assignment.tile_of)} layers", f"{len(self.layers)}")
        if used != list(range(len(assignment.designs))):
            raise _unfit(f"layers on tiles {used}", "every tile used, in the order of the layers")
        if len(used) > self.tiles or (pipelined and len(used) != self.tiles):
            raise _unfit(f"{len(used)} tiles", f"{'' if pipelined else 'at most '}{self.tiles}")
        if pipelined and not is_contiguous(assignment.tile_of):
            raise _unfit(f"tiles {assignment.tile_of}", "consecutive layers on each tile")
        unknown = [design for design in assignment.designs if design not in self.designs]
        if unknown:
            raise _unfit(f"designs {unknown}", f"some of {', '.join(self.designs)}")


def is_contiguous(tile_of: Sequence[int]) -> bool:
    """Say whether the layers of every tile follow each other, as a pipeline has them."""
    return all(after - before in (0, 1) for before, after in pairwise(tile_of))


def _unfit(got: str, expected: str) -> ConfigError:
    return ConfigError("the assignment does not fit the accelerator", got=got, expected=expected)
