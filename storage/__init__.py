"""The trial database: an ordinary Optuna database, filled in bulk and read as tables."""

PATIENCE = 300.0
"""Seconds for which a run that has begun waits for its database."""
