"""The code that workers on other machines lack: this project's, and what the user's study has imported."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

OWN = ("analysis", "search_spaces", "storage", "study", "tuners")


def imported_code() -> list[str]:
    """Files and folders of top-level modules: this project's, and those imported from where no packages are installed.

    Other packages have to be installed on every machine.
    """
    modules = {name: importlib.import_module(name) for name in OWN}
    modules |= {
        name: module
        for name, module in list(sys.modules.items())
        if "." not in name and (place := place_of(name, module)) and not is_installed(place)
    }
    return sorted({str(place_of(name, module)) for name, module in modules.items()})


def place_of(name: str, module: ModuleType) -> Path | None:
    """A module's file or a package's folder, None of what Ray cannot send: built in, compiled, under another name."""
    folders = list(getattr(module, "__path__", ()))
    file = folders[0] if folders else getattr(module, "__file__", None)
    if not file or (not folders and not str(file).endswith(".py")):
        return None
    path = Path(file).resolve()
    return path if path.stem == name and path.exists() else None


def is_installed(path: Path) -> bool:
    """Whether packages are installed there, or Python itself."""
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    return {"site-packages", "dist-packages"} & {*path.parts} != set() or path.is_relative_to(standard)
