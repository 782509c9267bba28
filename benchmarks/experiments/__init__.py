"""Studies over whole training runs, each made by one command: see docs/experiments.md."""
