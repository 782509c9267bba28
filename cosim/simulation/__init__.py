"""From designs to output codes: models of many designs, sweeps, pairs, live co-simulation."""
