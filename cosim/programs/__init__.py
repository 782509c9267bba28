"""Outside programs: where they are, how they run within limits, and scratch folders for them."""
