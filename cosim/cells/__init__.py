"""The standard-cell library that the project ships, and the figures it is written from."""
