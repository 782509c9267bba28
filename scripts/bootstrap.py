"""Makes a checkout ready: Debian packages, a virtual environment, pinned Python packages.

Run by the Makefile with the system's Python, before anything is installed; so it uses the
standard library alone. What is already there is left as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".ready"
MIN_PYTHON = (3, 11)
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def main() -> int:
    """Set up, and return the exit status."""
    if sys.version_info < MIN_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        return fail(
            f"Python {found} is too old: 3.11 or newer is needed (make PYTHON=python3.11 ...)"
        )
    needed, wanted = missing_packages()
    if needed or wanted:
        install_debian_packages(needed + wanted)
        needed, wanted = missing_packages()
    if needed:
        return fail(
            "these programs are missing and could not be installed; as root, run:\n"
            f"  apt-get install {' '.join(needed + wanted)}"
        )
    if wanted:
        print(f"going on without {', '.join(wanted)} (as root: apt-get install {' '.join(wanted)})")
    if not PYTHON.exists():
        print("making .venv")
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    print("installing the pinned Python packages into .venv")
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[dev]"]
    installed = subprocess.run(pip, cwd=ROOT, check=False)
    if installed.returncode:
        return fail("pip could not install the packages; its message is above")
    STAMP.touch()
    return 0


def missing_packages() -> tuple[list[str], list[str]]:
    """Return the Debian packages that are needed, and those that are only wanted, but missing."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    needed = []
    for package, present in (
        ("g++", shutil.which(os.environ.get("CXX") or "g++")),
        ("make", shutil.which("make")),
        ("perl", shutil.which("perl")),
        (f"python{version}-venv", can_make_venv()),
        (f"libpython{version}", has_shared_python()),
    ):
        if not present:
            needed.append(package)
    wanted = []
    for package, present in (
        ("ccache", shutil.which("ccache")),
        ("iverilog", shutil.which("iverilog")),
        ("dataset-fashion-mnist", FASHION_MNIST.is_dir()),
    ):
        if not present:
            wanted.append(package)
    return needed, wanted


def can_make_venv() -> bool:
    """Whether this Python has what `python -m venv` needs (Debian packages it apart)."""
    if PYTHON.exists():
        return True
    check = subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True)
    return check.returncode == 0


def has_shared_python() -> bool:
    """Whether this Python's shared library, which cocotb embeds, is installed."""
    name = sysconfig.get_config_var("INSTSONAME") or ""
    if not name.startswith("libpython") or ".so" not in name:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        name = f"libpython{version}.so.1.0"
    folders = {
        Path(str(sysconfig.get_config_var(key)))
        for key in ("LIBDIR", "LIBPL")
        if sysconfig.get_config_var(key)
    }
    multiarch = sysconfig.get_config_var("MULTIARCH")
    if multiarch:
        folders.add(Path("/usr/lib") / multiarch)
    folders.add(Path(sys.base_prefix) / "lib")
    return any((folder / name).exists() for folder in folders)


def install_debian_packages(packages: list[str]) -> None:
    """Install Debian packages if apt is here and permitted; otherwise do nothing."""
    apt = shutil.which("apt-get")
    if apt is None:
        return
    prefix: list[str] = []
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        if sudo is None or subprocess.run([sudo, "-n", "true"], capture_output=True).returncode:
            return
        prefix = [sudo, "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print(f"installing Debian packages: {' '.join(packages)}")
    command = [*prefix, apt, "install", "-y", "-qq", "--no-install-recommends", *packages]
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    if subprocess.run(command, stderr=subprocess.DEVNULL, **quiet).returncode:  # type: ignore[call-overload]
        # The package lists may be absent or out of date.
        subprocess.run([*prefix, apt, "update", "-qq"], **quiet)  # type: ignore[call-overload]
        subprocess.run(command, **quiet)  # type: ignore[call-overload]


def fail(message: str) -> int:
    """Print why set-up cannot go on; return the exit status for that."""
    print(f"setup: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
