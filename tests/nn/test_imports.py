"""The import rules: one arrow from Verilog to report, no cycles, and a lean `import rtlgrad.nn`."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "testbenches", "cosim", "lutgen", "nn", "cli")
MAY_IMPORT = {
    "core": set(),
    "testbenches": set(),
    "cosim": {"core", "testbenches"},
    "lutgen": {"core", "cosim"},
    "nn": {"core", "lutgen"},
    "cli": set(PACKAGES),
}


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported(path):
    """Yield the absolute name of every module that a file imports, functions' own included."""
    here = ("rtlgrad", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(here[: len(here) - node.level + 1]) if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def edges(package):
    """Yield (file, package of ours) for each import of ours; naming is not importing."""
    for path in sources(package):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "rtlgrad" and len(parts) > 1:
                yield path.relative_to(ROOT), parts[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_along_the_arrow_alone(package):
    assert sources(package), "the rule would hold of an empty folder"
    wrong = {
        (str(path), to) for path, to in edges(package) if to not in {package} | MAY_IMPORT[package]
    }
    assert wrong == set()


def test_the_rules_see_relative_and_deferred_imports():
    assert ("lutgen", "core") in {(str(path.parts[0]), to) for path, to in edges("lutgen")}
    assert ("nn", "lutgen") in {(str(path.parts[0]), to) for path, to in edges("nn")}


@pytest.mark.parametrize(
    ("module", "homes"),
    [("torch", ("nn",)), ("cupy", ("nn/engines",)), ("cocotb", ("testbenches", "cosim"))],
)
def test_heavy_packages_stay_in_their_place(module, homes):
    for package in PACKAGES:
        for path in sources(package):
            inside = any(path.is_relative_to(ROOT / home) for home in homes)
            roots = {name.split(".")[0] for name in imported(path)}
            assert inside or module not in roots, f"{path} imports {module}"


def test_importing_nn_loads_numpy_and_torch_alone_and_compiles_nothing(tmp_path):
    heavy = [
        *("cocotb", "pyverilog", "pyosys", "pyslang", "typer", "rich", "sklearn", "PIL", "cupy"),
        *("rtlgrad.cosim", "rtlgrad.testbenches", "rtlgrad.cli"),
    ]
    script = f"import sys, rtlgrad.nn; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", script],
        capture_output=True, text=True, check=True,
        env={**os.environ, "RTLGRAD_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["rtlgrad.nn", "rtlgrad.nn.engines"])
def test_public_names_are_sorted_and_exist(name):
    module = importlib.import_module(name)
    constants = sorted(n for n in module.__all__ if n.isupper())
    classes = sorted(n for n in module.__all__ if not n.isupper() and n[0].isupper())
    functions = sorted(n for n in module.__all__ if n[0].islower())
    assert module.__all__ == [*constants, *classes, *functions]
    public = {n for n in vars(module) if not n.startswith("_")}
    submodules = {info.name for info in pkgutil.iter_modules(module.__path__)}
    assert public - submodules == set(module.__all__) - submodules
