"""Runs ruff and mypy over the packages; exits with status 1 if either finds something.

mypy knows packages by their folders, and ours are called otherwise than they are imported; so
it gets a tree of links in which ``rtlgrad/cosim`` is ``cosim/``, and so on.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "testbenches", "cosim", "lutgen", "nn", "cli")
TOOLS = Path(sys.executable).parent


def main() -> int:
    """Run all checks and return the exit status."""
    failed = _run([TOOLS / "ruff", "check", "."], ROOT)
    failed |= _run([TOOLS / "ruff", "format", "--check", "."], ROOT)
    with tempfile.TemporaryDirectory(prefix="rtlgrad-mypy-") as name:
        tree = Path(name) / "rtlgrad"
        tree.mkdir()
        for package in PACKAGES:
            (tree / package).symlink_to(ROOT / package)
        failed |= _run(
            [
                TOOLS / "mypy",
                "--config-file",
                ROOT / "pyproject.toml",
                "--cache-dir",
                ROOT / ".mypy_cache",
                "--explicit-package-bases",
                "--namespace-packages",
                "-p",
                "rtlgrad",
            ],
            Path(name),
        )
    return int(failed)


def _run(command: list[str | Path], folder: Path) -> bool:
    print(f"== {Path(command[0]).name} {' '.join(str(part) for part in command[1:3])}", flush=True)
    return subprocess.run([str(part) for part in command], cwd=folder, check=False).returncode != 0


if __name__ == "__main__":
    sys.exit(main())
