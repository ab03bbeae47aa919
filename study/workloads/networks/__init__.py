"""Networks as plain modules, one file a family."""
