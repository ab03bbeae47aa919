"""Folders of data that a user names: absolute, or below the folder of all data."""

from __future__ import annotations

import os
from pathlib import Path

from study.data_folder import DATA
from study.workloads.module import WorkloadError


def data_folder(data: str, others: str) -> Path:
    """The folder that `data` names, by its absolute path or below `$TUNABILITY_DATA`; `others` are allowed instead.

    Raises WorkloadError when there is none.
    """
    base = os.environ.get(DATA)
    folder = Path(base).resolve() / data if base else Path(data)
    if folder.is_absolute() and folder.is_dir():  # workers may have another current folder
        return folder
    where = f" in {base}" if base else ""
    raise WorkloadError(
        f"data = {data!r} is no folder{where}: give one by its absolute path or below --data-dir, or {others}"
    )
