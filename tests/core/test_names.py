from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtlgrad.core.errors import UnknownNameError
from rtlgrad.core.names import nearest, pick, unknown_name

REGISTRY = {"mul8u_drum6": 1, "mul8u_exact": 2, "numpy": 3}


def test_a_name_that_exists_is_picked() -> None:
    assert pick(REGISTRY, "numpy", kind="engine") == 3


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("mul8u_drum", "mul8u_drum6"), ("NumPy", "numpy"), ("mul8u_exat", "mul8u_exact")],
)
def test_a_misspelt_name_suggests_the_one_that_was_meant(typed: str, meant: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        pick(REGISTRY, typed, kind="design")
    assert caught.value.remedy == f"did you mean {meant!r}?"


def test_an_unknown_name_lists_all_legal_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown design 'qqq'") as caught:
        pick(REGISTRY, "qqq", kind="design", remedy="see rtlgrad list")
    assert caught.value.expected == "one of mul8u_drum6, mul8u_exact, numpy"
    assert caught.value.remedy == "see rtlgrad list"


def test_an_empty_registry_says_so() -> None:
    assert "no design at all" in str(unknown_name("x", [], kind="design"))


@given(st.lists(st.text(max_size=8), min_size=1, unique_by=str.lower), st.data())
def test_a_legal_name_is_nearest_to_itself_in_any_case(
    names: list[str], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(names))
    assert nearest(name, names) == name
