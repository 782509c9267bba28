"""Layer-wise assignment of multipliers: which design multiplies in which layer."""
