"""Study files as TOML, read within limits and written; Python itself only reads it, and without any."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.spec.study import SpecError, StudySpec, Tell, parse_spec, silent

BARE = re.compile(r"[A-Za-z0-9_-]+")
MOST_CHARACTERS, MOST_KEYS, MOST_VALUES, MOST_PARTS = 1_000_000, 5_000, 20_000, 10
"""Of a file: far more than any study has, and what Python's parser reads in a fifth of a second.

Values are those in arrays and inline tables, parts those of one dotted key, which take it the square of their number.
"""
LONGEST_NUMBER = 4_000
"""Digits: Python refuses to read whole numbers of more than 4,300."""
# Unfinished ones reach as far as they can, so that no text is looked at twice.
TEXTS_AND_COMMENTS = re.compile(
    r'"""(?:\\.?|[^\\])*?(?:"""|\Z)'
    r"|'''.*?(?:'''|\Z)"
    r'|"(?:\\.?|[^"\\\n])*+"?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+",
    re.DOTALL,
)
BETWEEN_MARKS = re.compile(r"[^=,\[\]{}\n]+")
DIGITS = re.compile(r"[0-9_]+")


def load_spec(path: Path, tell: Tell = silent) -> StudySpec:
    """Read a study file; `tell` as for `parse_spec`.

    Raises SpecError: it cannot be read, is no TOML (with the line), or is not allowed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(4 * MOST_CHARACTERS + 1)  # a device may have no end
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}): give the path of a study file") from None
    try:
        given = parse_toml(content.decode("utf-8"))
    except ValueError as error:
        raise SpecError(f"{path}: is not valid TOML: {error}") from None
    return parse_spec(given, str(path), tell)


def parse_toml(text: str) -> dict[str, Any]:
    """The table that a TOML text is, of bounded size, in a time and with memory in proportion to it.

    Raises ValueError: it is no TOML (with the line), or larger than a study.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has more than {MOST_CHARACTERS:,} characters, which no study needs")
    code = TEXTS_AND_COMMENTS.sub('""', text)
    counts = {"keys": code.count("=") + code.count("\n["), "values": code.count(",")}
    for what, most in (("keys", MOST_KEYS), ("values", MOST_VALUES)):
        if counts[what] > most:
            raise ValueError(f"it has {counts[what]:,} {what}: give at most {most:,}")
    if any(piece.group().count(".") >= MOST_PARTS for piece in BETWEEN_MARKS.finditer(code)):
        raise ValueError(f"a dotted key has more than {MOST_PARTS} parts: no study is nested so deeply")
    if any(len(digits.group()) > LONGEST_NUMBER for digits in DIGITS.finditer(code)):
        raise ValueError(f"a number has more than {LONGEST_NUMBER:,} digits: give a smaller one")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def to_toml(table: Mapping[str, Any]) -> str:
    r"""TOML with a line a key, tables inline; None is left out. Reads back as the same mapping.

    tomli-w has neither: lists take a line a value; tomlkit takes the square of a list's length, and lists come by HTTP.

    >>> to_toml({"name": "small", "space": {"alpha": [0.1, 1.0]}})
    'name = "small"\nspace = { alpha = [0.1, 1.0] }\n'
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
