"""The outside tools: front ends, simulators, synthesis. Each is imported where it is used."""
