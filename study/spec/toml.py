"""Study files as TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path

from study.spec.study import SpecError, StudySpec, parse_spec


def load_spec(path: Path) -> StudySpec:
    """Read a study file. Raises SpecError: it cannot be read, is no TOML (with the line), or is not allowed."""
    try:
        return parse_spec(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}): give the path of a study file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: is not valid TOML: {error}") from None
