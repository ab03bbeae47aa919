"""Training on a Ray cluster: the only folder that imports ray, with its switches set before."""

import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # they would write every curve to disk again
os.environ.setdefault(
    "TUNE_GLOBAL_CHECKPOINT_S", "3600"
)  # resuming is computed from the store, not from Ray's files
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C is ours to tell of
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
