"""Genes say legal assignments alone, and every legal assignment can be said."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError
from rtlgrad.nn.assignment.space import Accelerator, SearchSpace, TileMap, is_contiguous


@st.composite
def spaces(draw):
    layers = draw(st.integers(2, 9))
    designs = draw(st.integers(1, 5))
    return SearchSpace(
        draw(st.sampled_from(Accelerator)),
        tuple(f"stage.{number}" for number in range(layers)),
        tuple(f"design{number}" for number in range(designs)),
        draw(st.integers(1, layers - 1)),
    )


@st.composite
def genomes(draw):
    space = draw(spaces())
    return space, {name: draw(st.sampled_from(values)) for name, values in space.genes.items()}


@settings(max_examples=200, deadline=None)
@given(genomes())
def test_no_genes_say_an_illegal_assignment(case):
    space, genome = case
    made = space.decode(genome)
    space.check(made)
    assert len(made.tile_of) == len(space.layers)
    assert set(made.tile_of) == set(range(len(made.designs))), "every tile has a layer"
    if space.accelerator is Accelerator.PIPELINED:
        assert len(made.designs) == space.tiles
        assert is_contiguous(made.tile_of)
    else:
        assert len(made.designs) <= space.tiles
        wanted = [genome[f"tile {genome[f'layer {layer}']}"] for layer in space.layers]
        assert list(made.by_layer) == wanted, "tidying changes no layer's design"
        assert len(set(made.designs)) == len(made.designs)


@settings(max_examples=200, deadline=None)
@given(genomes())
def test_genes_of_an_assignment_say_that_assignment(case):
    space, genome = case
    made = space.decode(genome)
    again = space.encode(made)
    assert again.keys() == space.genes.keys()
    assert all(value in space.genes[name] for name, value in again.items())
    assert space.decode(again) == made


@pytest.mark.parametrize("accelerator", Accelerator)
def test_every_assignment_can_be_reached(accelerator):
    layers, designs, tiles = ("a", "b", "c", "d"), ("p", "q"), 2
    space = SearchSpace(accelerator, layers, designs, tiles)
    names = list(space.genes)
    reached = {
        space.decode(dict(zip(names, values, strict=True))).by_layer
        for values in product(*space.genes.values())
    }
    everything = set(product(designs, repeat=len(layers)))
    if accelerator is Accelerator.PIPELINED:  # two groups: the design changes once at most
        everything = {m for m in everything if sum(x != y for x, y in pairwise(m)) <= 1}
    assert reached == everything


@settings(max_examples=50, deadline=None)
@given(spaces())
def test_one_design_for_all_layers_is_in_every_space(space):
    genome = space.single(space.designs[-1])
    assert genome.keys() == space.genes.keys()
    assert set(space.decode(genome).by_layer) == {space.designs[-1]}


@pytest.mark.parametrize("tiles", [0, 3, 4])
def test_as_many_tiles_as_layers_are_refused(tiles):
    with pytest.raises(ConfigError, match="fewer tiles than the network has layers"):
        SearchSpace(Accelerator.GATED, ("a", "b", "c"), ("p",), tiles)


@pytest.mark.parametrize(
    ("accelerator", "wrong"),
    [
        (Accelerator.PIPELINED, TileMap(("p", "q"), (0, 1, 0))),
        (Accelerator.PIPELINED, TileMap(("p",), (0, 0, 0))),
        (Accelerator.GATED, TileMap(("p", "q"), (0, 0, 0))),
        (Accelerator.GATED, TileMap(("p", "q"), (1, 0, 0))),
        (Accelerator.GATED, TileMap(("p", "r"), (0, 1, 1))),
        (Accelerator.GATED, TileMap(("p", "q"), (0, 1))),
    ],
)
def test_what_an_accelerator_cannot_do_is_no_assignment_of_it(accelerator, wrong):
    space = SearchSpace(accelerator, ("a", "b", "c"), ("p", "q"), 2)
    with pytest.raises(ConfigError, match="does not fit the accelerator"):
        space.check(wrong)
