"""One page of HTML that shows the designs of a store, readable offline."""

from .collect import Catalogue, Entry, Skipped, collect
from .page import render, write_catalogue

__all__ = ["Catalogue", "Entry", "Skipped", "collect", "render", "write_catalogue"]
