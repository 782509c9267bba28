"""What the tests of several commands share: a small design, and a network trained through it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from projects import characterized, trained

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a design, its characterization, and an audited, recorded run: `project`s."""
    folder = tmp_path_factory.mktemp("finished")
    characterized(folder)
    trained(folder, "--audit-every", "1", "--audit-images", "2", "--record", "5")
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "project")
