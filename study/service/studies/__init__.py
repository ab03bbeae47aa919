"""Studies as they are launched, stopped and resumed, and how far they are."""
