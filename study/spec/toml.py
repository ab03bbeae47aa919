"""Study files as TOML, read and written; Python itself only reads it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.spec.study import SpecError, StudySpec, Tell, parse_spec, silent

BARE = re.compile(r"[A-Za-z0-9_-]+")


def load_spec(path: Path, tell: Tell = silent) -> StudySpec:
    """Read a study file; `tell` as for `parse_spec`.

    Raises SpecError: it cannot be read, is no TOML (with the line), or is not allowed.
    """
    try:
        return parse_spec(tomllib.loads(path.read_text(encoding="utf-8")), str(path), tell)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}): give the path of a study file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: is not valid TOML: {error}") from None


def to_toml(table: Mapping[str, Any]) -> str:
    """TOML with a line a key, tables inline; None is left out. Reads back as the same mapping.

    >>> to_toml({"name": "small", "space": {"alpha": [0.1, 1.0]}})
    'name = "small"\\nspace = { alpha = [0.1, 1.0] }\\n'
    """
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if value is not None)


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    match value:
        case str():
            return _text(value)
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case Mapping():
            inner = ", ".join(
                f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None
            )
            return f"{{ {inner} }}" if inner else "{}"
        case _:
            return f"[{', '.join(map(_value, value))}]"
