"""Share small helpers: arguments, files, tables, messages."""
