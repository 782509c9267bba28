"""The ``rtlgrad`` command. Each sub-command imports what it needs when it runs."""
