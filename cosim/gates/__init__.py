"""Gate level: evaluates a mapped netlist from its cells' functions, and estimates power and delay.

::

    Liberty file -> Library ─┐
    Yosys JSON ──────────────┴-> Netlist -> codes of all operand pairs -> proof against the table
                                        └-> toggles per net -> energy, power
                                        └-> longest path
"""
