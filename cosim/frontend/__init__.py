"""Front ends: from preprocessed source text to modules, ports, widths and signedness."""
