"""The trial database: an ordinary Optuna database, filled in bulk and read as tables."""
