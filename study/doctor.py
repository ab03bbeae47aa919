"""Whether this machine and a database are fit for studies: what is missing or wrong, and what repairs it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from storage import health
from storage.errors import MissingDatabaseError, StoreError

COMPILE_SECONDS = 60
SHARED_MEMORY = 1 << 30
"""Bytes that Ray wants at least in /dev/shm; it falls back to slower files."""
LONGEST_FOLDER = 60
"""Characters of the temporary folder: Ray adds some 45 to name a socket, which may have 107."""


@dataclass(frozen=True)
class Diagnosis:
    """One line of what was found.

    Attributes:
        check: what was looked at.
        state: ``ok``, ``note`` (slower, or not there), ``broken`` or ``repaired``.
        detail: what was found.
        repairable: whether `--repair` puts it right.
    """

    check: str
    state: str
    detail: str
    repairable: bool = False


def diagnose_machine() -> list[Diagnosis]:
    """Python and packages, the compiler, Ray and the GPU of this machine. Starts no cluster."""
    return [_python(), _packages(), _compiler(), *_ray(), _gpu()]


def diagnose_storage(url: str, *, repair: bool = False) -> list[Diagnosis]:
    """What is wrong with a database, which is read only, unless `repair` puts right what can be."""
    try:
        found = health.examine(url)
    except MissingDatabaseError as error:
        return [Diagnosis("database", "note", f"{error}")]
    except StoreError as error:
        return [Diagnosis("database", "broken", str(error))]
    wrong = {each.check: each for each in found if each.problem and each.repair}
    if not (repair and wrong):
        return [_shown(each) for each in found]
    health.repair(url, list(wrong.values()))
    return [
        Diagnosis(each.check, "repaired", str(wrong[each.check].problem))
        if each.check in wrong and not each.problem
        else _shown(each)
        for each in health.examine(url)
    ]


def _shown(finding: health.Finding) -> Diagnosis:
    state = "broken" if finding.problem else "ok"
    return Diagnosis(finding.check, state, finding.problem or finding.detail, finding.repair is not None)


def _python() -> Diagnosis:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Diagnosis("Python", "ok" if sys.version_info >= (3, 11) else "broken", found)


def _packages() -> Diagnosis:
    from packaging.requirements import Requirement

    wrong = []
    required = [Requirement(each) for each in importlib.metadata.requires("tunability") or ()]
    needed = [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    for each in needed:
        try:
            version = importlib.metadata.version(each.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{each} is not installed")
            continue
        if not each.specifier.contains(version, prereleases=True):
            wrong.append(f"{each} is needed, and {version} is installed")
    found = "; ".join(wrong) if wrong else f"all {len(needed)} that are needed"
    return Diagnosis("packages", "broken" if wrong else "ok", found)


def _compiler() -> Diagnosis:
    """Whether the C++ compiler that torch would call makes a library; training is slower without."""
    name = os.environ.get("CXX") or next((each for each in ("g++", "clang++") if shutil.which(each)), None)
    if name is None:
        return Diagnosis(
            "compiler", "note", "no C++ compiler: install g++, or training is several times slower"
        )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.cpp"
        source.write_text('#include <cmath>\nextern "C" double f(double x) { return std::sqrt(x); }\n')
        command = [name, "-shared", "-fPIC", "-O1", str(source), "-o", str(Path(folder) / "a.so")]
        try:
            made = subprocess.run(
                command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Diagnosis("compiler", "broken", f"{name} cannot be run ({error}): set CXX to one that can")
    if made.returncode:
        said = (made.stderr.strip().splitlines() or ["it said nothing"])[0]
        return Diagnosis("compiler", "broken", f"{name} makes no library ({said}): install g++")
    return Diagnosis("compiler", "ok", name)


def _ray() -> list[Diagnosis]:
    try:
        version = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        return [Diagnosis("Ray", "broken", "it is not installed: pip install 'ray[default,tune]'")]
    found = [Diagnosis("Ray", "ok", version)]
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(folder) > LONGEST_FOLDER:
        found.append(
            Diagnosis(
                "Ray's folder",
                "broken",
                f"{folder} is too long to name a socket: set RAY_TMPDIR to a shorter one",
            )
        )
    if Path("/dev/shm").is_dir() and (free := shutil.disk_usage("/dev/shm").free) < SHARED_MEMORY:
        found.append(
            Diagnosis(
                "shared memory", "note", f"{free / 1e6:,.0f} MB are free in /dev/shm: Ray is faster with 1 GB"
            )
        )
    return found


def _gpu() -> Diagnosis:
    import torch

    if not torch.cuda.is_available():
        return Diagnosis("GPU", "note", 'none that torch can use: device = "cuda" is refused')
    names = [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]
    return Diagnosis("GPU", "ok", ", ".join(names))
