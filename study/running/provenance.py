"""With what a study was run: versions, machine, when; what decides a trial is its recipe, `Study.identity`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from typing import Any

from storage.store import Store
from study.training.resolve import Study

PACKAGES = ("tunability", "torch", "ray", "optuna", "sqlalchemy", "numpy")


def provenance(study: Study) -> dict[str, Any]:
    """With what a study is launched: code and package versions, machine, seeds."""
    return {
        "packages": {
            name: importlib.metadata.version(name) for name in (*PACKAGES, *foreign_packages(study))
        },
        "python": platform.python_version(),
        "machine": {"platform": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
        "device": study.spec.device,
        "seeds": list(range(study.spec.seeds)),
        "declared": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def foreign_packages(study: Study) -> list[str]:
    """The distributions that the study's import paths come from, as far as they are installed as such."""
    modules = {
        path.partition(":")[0].partition(".")[0]
        for each in study.optimizers
        for path in study.import_paths(each)
    }
    if not modules:
        return []  # listing what is installed takes a moment
    owners = importlib.metadata.packages_distributions()
    return sorted({name for module in modules for name in owners.get(module, [])} - set(PACKAGES))


def processor() -> str:
    """The processor's name as Linux tells it, or what Python knows."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


COMPUTES = ("tunability", "torch", "numpy")
"""Packages whose version may change the last bits of a trial."""


def other_versions(study: Study, store: Store) -> str | None:
    """A line about stored trials that were made under other versions of what computes; None where there are none."""
    here = {name: importlib.metadata.version(name) for name in COMPUTES}
    for key in store.optimizers(study.name) if store.recipes(study.name) else ():
        for made in store.provenances(study.name, key):
            then = made.get("packages", {})
            other = [
                f"{name} {then[name]} (here {here[name]})"
                for name in COMPUTES
                if then.get(name, here[name]) != here[name]
            ]
            if other and made["trials"]:
                return (
                    f"{made['trials']:,} trials of {study.name}/{key} (launch {made['launch']}) were made with "
                    f"{', '.join(other)}: last bits may differ"
                )
    return None
