"""Clocked multipliers in simulation: their latency, measured, and what is refused."""
