"""Data sets: small ones come inside Python packages, others are read from a folder."""
