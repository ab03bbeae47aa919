"""With what a study was run: versions, machine, sources of foreign code, hash of the data."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from typing import Any

from study.training.named import source_sha256
from study.training.resolve import Study

PACKAGES = ("tunability", "torch", "ray", "optuna", "sqlalchemy", "numpy")


def provenance(study: Study) -> dict[str, Any]:
    """With what a study was first run: code and package versions, machine, seeds, hash of the data."""
    return {
        "packages": {
            name: importlib.metadata.version(name) for name in (*PACKAGES, *foreign_packages(study))
        },
        "python": platform.python_version(),
        "machine": {"platform": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
        "device": study.spec.device,
        "seeds": list(range(study.spec.seeds)),
        "sources": foreign_sources(study),
        "data_sha256": study.workload.data_hash(),
        "declared": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def import_paths(study: Study) -> list[str]:
    names = [study.spec.workload.name, *(optimizer.name for optimizer in study.optimizers)]
    return [name for name in names if ":" in name]


def foreign_packages(study: Study) -> list[str]:
    """The distributions that the study's import paths come from, as far as they are installed as such."""
    modules = {path.partition(":")[0].partition(".")[0] for path in import_paths(study)}
    if not modules:
        return []  # listing what is installed takes a moment
    owners = importlib.metadata.packages_distributions()
    return sorted({name for module in modules for name in owners.get(module, [])} - set(PACKAGES))


def foreign_sources(study: Study) -> dict[str, str]:
    """SHA-256 of the module of every import path."""
    return {path: source_sha256(path) for path in import_paths(study)}


def processor() -> str:
    """The processor's name as Linux tells it, or what Python knows."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
