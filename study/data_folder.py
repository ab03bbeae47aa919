"""The folder of all data, below which a workload's is named."""

from __future__ import annotations

import os
from pathlib import Path

DATA = "TUNABILITY_DATA"
"""The environment variable that names it, alike on every machine; `--data-dir` sets it for a command."""


def set_data_folder(given: Path | None) -> Path | None:
    """Let names of data be looked for there, also in processes that are started."""
    if given is not None:
        os.environ[DATA] = str(given.resolve())
    return given
