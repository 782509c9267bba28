"""Product tables, their error metrics, and the records that keep them. Needs numpy alone.

The pipeline that makes them from Verilog is `rtlgrad.lutgen.characterize`; it is imported on
demand because it needs the HDL tools.
"""

from .table import ProductTable, exact_table

__all__ = ["ProductTable", "exact_table"]
