"""The Verilog of rtl/ and the models go together, and its modules can share one simulation."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from .mantissas import MANTISSA_MODELS
from .multipliers import MODELS

# Too wide for a model of the whole table.
SAMPLED = ("mul16u_drum6",)
KNOWN = (*MODELS, *MANTISSA_MODELS, *SAMPLED)
RTL = Path(__file__).parents[2] / "rtl"
# By file name: a file that a user drops in the folder, without a model, is not ours to judge.
SOURCES = {path.stem: path for path in sorted(RTL.glob("*.v"))}


def designs_of(source: Path) -> list[str]:
    sidecar = source.with_suffix(".toml")
    record = tomllib.loads(sidecar.read_text()) if sidecar.exists() else {}
    return list(record.get("variants", {source.stem: {}}))


OURS = {
    stem: path for stem, path in SOURCES.items() if any(name in KNOWN for name in designs_of(path))
}


def test_every_model_has_exactly_one_design() -> None:
    count = Counter(name for path in OURS.values() for name in designs_of(path))
    assert count == Counter(dict.fromkeys(KNOWN, 1))


@pytest.mark.parametrize("stem", sorted(OURS))
def test_modules_carry_the_stem_so_that_files_never_collide(stem: str) -> None:
    modules = re.findall(r"^module\s+(\w+)", OURS[stem].read_text(), flags=re.MULTILINE)
    assert stem in modules
    assert all(module == stem or module.startswith(f"{stem}_") for module in modules)


@pytest.mark.parametrize("stem", sorted(OURS))
def test_every_file_names_its_source(stem: str) -> None:
    header = OURS[stem].read_text().split("module ")[0]
    assert "// Source: " in header
    sidecar = tomllib.loads(OURS[stem].with_suffix(".toml").read_text())
    assert sidecar["title"]
    assert "citation" in sidecar or stem.endswith("_exact")
