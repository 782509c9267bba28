"""From files to a design: sources, front ends in a process of their own, roles of the ports."""
