from __future__ import annotations

import inspect
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtlgrad.core import errors
from rtlgrad.core.errors import RtlgradError, TimeLimitError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, RtlgradError)
]
OPTIONAL = st.none() | st.text(min_size=1, max_size=30)


def test_message_lists_what_found_expected_and_remedy_in_that_order() -> None:
    error = RtlgradError("x.v: no output", got="a, b", expected="one output", remedy="add it")
    assert str(error) == "x.v: no output\n  found: a, b\n  expected: one output\n  do: add it"


def test_parts_that_are_not_given_leave_no_line() -> None:
    assert str(RtlgradError("x.v: no output", remedy="add it")) == "x.v: no output\n  do: add it"
    assert str(RtlgradError("x.v: no output")) == "x.v: no output"


def test_a_found_zero_is_shown() -> None:
    assert "found: 0" in str(RtlgradError("width", got=0))


@pytest.mark.parametrize("kind", KINDS)
@given(what=st.text(min_size=1), got=OPTIONAL, expected=OPTIONAL, remedy=OPTIONAL)
def test_every_error_survives_the_way_through_a_worker_process(
    kind: type[RtlgradError], what: str, got: str | None, expected: str | None, remedy: str | None
) -> None:
    error = kind(what, got=got, expected=expected, remedy=remedy)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert copy.args == error.args


def test_every_error_is_drawn_in_the_tree_of_its_module() -> None:
    assert errors.__doc__ is not None
    assert all(kind.__name__ in errors.__doc__ for kind in KINDS)


def test_a_sweep_that_takes_too_long_is_a_simulation_error() -> None:
    with pytest.raises(errors.SimulationError):
        raise TimeLimitError("endless")
