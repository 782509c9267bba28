"""A folder of results as one HTML page that says which multiplier to use, and why."""

from .gather import gather
from .output import write_study
from .rows import Study

__all__ = ["Study", "gather", "write_study"]
