"""Files that go into a page whole, and the hashes by which its policy lets them in."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from .markup import Markup

HERE = Path(__file__).parent
STYLE = "catalogue.css"


def asset(name: str, folder: Path = HERE) -> Markup:
    """Return a file that lies beside the code: a template, a style, a script."""
    return Markup((folder / name).read_text(encoding="utf-8"))


def policy_hash(text: str) -> Markup:
    """Return the source expression of a script or style for a content security policy.

    The page's policy lets run what has this hash and nothing else, whatever a title may hold.
    """
    digest = hashlib.sha256(text.encode()).digest()
    return Markup(f"sha256-{base64.b64encode(digest).decode('ascii')}")
