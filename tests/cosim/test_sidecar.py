from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rtlgrad.core.errors import DesignError, SidecarError, UnknownNameError
from rtlgrad.core.files import sha256_bytes
from rtlgrad.cosim.design import check_unique, pick_design, references
from rtlgrad.cosim.reading.sidecar import Sidecar, read_sidecar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "module m(input [3:0] A, B, output [7:0] O); assign O = A * B; endmodule\n"

WRONG = {
    "misspelt key": ("singed = true\n", ("'singed'", "did you mean 'signed'?")),
    "key of another world": ("zzzzzz = 1\n", ("'zzzzzz'", "one of title, citation, top")),
    "misspelt role": ('[ports]\noutput = "O"\n', ("'ports.output'", "one of a, b, out")),
    "misspelt sign": ("[signed]\nc = true\n", ("'signed.c'", "one of a, b, out")),
    "title of a wrong type": ("title = 3\n", ("title is of the wrong type", "str")),
    "top of a wrong type": ('top = ["m"]\n', ("top is of the wrong type",)),
    "signed of a wrong type": ('signed = "yes"\n', ("signed is of the wrong type", "'yes'")),
    "sign of a wrong type": ("[signed]\na = 1\n", ("signed is of the wrong type",)),
    "ports of a wrong type": ('ports = "A"\n', ("ports is of the wrong type",)),
    "port of a wrong type": ("[ports]\na = 0\n", ("ports is of the wrong type",)),
    "variants of a wrong type": ("variants = 3\n", ("variants is of the wrong type",)),
    "variant of a wrong type": ("[variants]\nm4 = 4\n", ("'m4' is of the wrong type",)),
    "parameter of a wrong type": ('[variants.m4]\nK = "4"\n', ("'m4' is of the wrong type",)),
    "parameter that is a truth value": ("[variants.m4]\nK = true\n", ("'m4' is of the wrong",)),
    "parameter that is a fraction": ("[variants.m4]\nK = 4.0\n", ("'m4' is of the wrong type",)),
    "variant that is a path": ('[variants."../m"]\nK = 4\n', ("'../m' cannot name a design",)),
    "variant without a name": ('[variants.""]\nK = 4\n', ("'' cannot name a design",)),
    "hidden variant": ('[variants.".m"]\nK = 4\n', ("'.m' cannot name a design",)),
    "not TOML": ("signed: true\n", ("not valid TOML", "line 1")),
    "key given twice": ("signed = true\nsigned = false\n", ("not valid TOML", "line 2")),
    "not text": (b"\xff\xfe\x00", ("not valid TOML",)),
    "too deep": ("a = " + "[" * 5000 + "\n", ("not valid TOML",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_sidecar_is_named_with_what_is_wrong(name: str, put: Callable[..., Path]) -> None:
    content, says = WRONG[name]
    path = put(TEXT)
    sidecar = path.with_suffix(".toml")
    sidecar.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SidecarError) as caught:
        references(path)
    for text in (str(sidecar), *says):
        assert text in str(caught.value)


def test_a_sidecar_that_is_a_folder_is_reported(put: Callable[..., Path]) -> None:
    path = put(TEXT)
    path.with_suffix(".toml").mkdir()
    with pytest.raises(SidecarError, match="directory"):
        references(path)


def test_no_sidecar_says_nothing(put: Callable[..., Path]) -> None:
    assert read_sidecar(put(TEXT)) == Sidecar()


def test_every_key_is_read(put: Callable[..., Path]) -> None:
    text = (
        'title = "T"\ncitation = "C"\ntop = "m"\n[signed]\na = true\n[ports]\nb = "B"\n'
        "[variants.m-1]\nK = -1\n[variants.m2]\n"
    )
    sidecar = read_sidecar(put(TEXT, sidecar=text))
    assert sidecar == Sidecar(
        title="T",
        citation="C",
        top="m",
        signed={"a": True},
        ports={"b": "B"},
        variants={"m-1": {"K": -1}, "m2": {}},
        sha256=sha256_bytes(text.encode()),
    )


def test_a_file_is_one_design_or_its_variants(put: Callable[..., Path]) -> None:
    (single,) = references(put(TEXT, "single.v"))
    assert (single.name, dict(single.overrides)) == ("single", {})
    many = references(put(TEXT, "many.v", "[variants.m4]\nK = 4\n[variants.m6]\nK = 6\n"))
    assert [(one.name, dict(one.overrides)) for one in many] == [("m4", {"K": 4}), ("m6", {"K": 6})]


def test_two_designs_of_one_name_are_refused_and_both_files_named(
    put: Callable[..., Path],
) -> None:
    one = references(put(TEXT, "a/same.v"))
    two = references(put(TEXT, "b/other.v", "[variants.same]\n"))
    with pytest.raises(DesignError, match="two designs are called 'same'") as caught:
        check_unique([*one, *two])
    assert str(caught.value.got).endswith("other.v")
    assert "same.v and " in str(caught.value.got)


def test_the_stem_of_a_file_with_variants_suggests_them(put: Callable[..., Path]) -> None:
    designs = references(put(TEXT, "mul.v", "[variants.mul4]\nK = 4\n[variants.mul6]\nK = 6\n"))
    assert pick_design("mul6", designs) is designs[1]
    with pytest.raises(UnknownNameError, match="unknown design 'mul'") as caught:
        pick_design("mul", designs)
    assert "mul has variants: mul4, mul6" in str(caught.value)
