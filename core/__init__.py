"""The floor that every other package stands on: errors, names, files. No dependencies."""
