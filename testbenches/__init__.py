"""What runs inside the simulator: cocotb test modules and SystemVerilog templates."""
