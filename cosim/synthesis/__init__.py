"""From a design to mapped cells: structure, choice of a mapping, cost."""
