"""Study files as TOML: what is written reads back, and what cannot be read is one clear line."""

import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.spec import SpecError, load_spec, to_toml
from study.spec.toml import parse_toml


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('name = "a"\nseeds = = 3\n')
    with pytest.raises(SpecError, match=r"broken.toml: is not valid TOML: .*line 2"):
        load_spec(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nothing.toml: cannot be read \(No such file"):
        load_spec(tmp_path / "nothing.toml")


WHOLE = 'name = "a"\nworkload = "digits-mlp"\noptimizers = ["adam"]\nspace = "avagrad-cifar"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"seeds = " + b"9" * 4_400, "is not valid TOML: a number has more than 4,000 digits"),
        (b"seeds = " + b"9" * 3_000, "seeds is a whole number of more than 64 bits"),
        (b"seeds = 1 # \x00", "is not valid TOML: Found invalid character"),
        (b"seeds = 1 # \xff\xfe", "is not valid TOML: 'utf-8' codec can't decode byte 0xff"),
        (b'seeds = "\\u0000"', "seeds has the character U+0000, which no database keeps"),
        (b'"a\\u0000" = 1', "study has a key with the character U+0000"),
        (b"seeds = " + b"[" * 10_000, "is not valid TOML: it is nested too deeply"),
        (b"seeds = " + b"[" * 100 + b"]" * 100, "seeds.0.0 is nested too deeply"),
        (b"x" * 1_000_001, "has more than 1,000,000 characters"),
        (b"x" * 4_000_001, "has more than 1,000,000 characters"),
    ],
)
def test_what_no_study_has_is_one_line(tmp_path: Path, text: bytes, problem: str) -> None:
    path = tmp_path / "odd.toml"
    path.write_bytes(WHOLE.encode() + text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert f"odd.toml: {problem}" in str(caught.value) or problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


BOMBS = {
    "dotted keys": "\n".join(f"{'a.' * 990}b{i} = 1" for i in range(300)),
    "dotted tables": "\n".join(f"[{'a.' * 990}b{i}]" for i in range(300)),
    "quoted parts": "\n".join("'a'." * 200 + f"b{i} = 1" for i in range(300)),
    "as deep as allowed": "\n".join(f"{'a.' * 9}b{i} = 1" for i in range(40_000)),
    "many keys": "\n".join(f"a{i} = 1" for i in range(90_000)),
    "many tables": "\n".join(f"[a{i}]" for i in range(90_000)),
    "a long array": f"a = [{'1,' * 450_000}]",
    "an inline table": f"a = {{{','.join(f'b{i} = 1' for i in range(90_000))}}}",
    "texts without an end": '"' * 900_000,
    "escaped ends": '"""' + '\\"""' * 200_000 + "\\",
    "a long word": "a" * 900_000,
    "dots": "." * 900_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_at_once(bomb: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=r"\w"):
        parse_toml(BOMBS[bomb])
    assert time.process_time() - started < 0.5  # 0.2 s of a processor that is not shared


def test_limits_do_not_count_what_is_in_texts() -> None:
    text = "a" + ".,=[{" * 10_000
    assert parse_toml(
        f"a = \"{text}\" # {text}\nb = '{text}'\nc = \"\"\"\n{text}\"\"\"\nd = '''{text}'''"
    ) == {
        "a": text,
        "b": text,
        "c": text,
        "d": text,
    }
    numbers = [each / 7 for each in range(10_000)]
    assert parse_toml(f"a = {numbers}") == {"a": numbers}


values = st.recursive(
    st.text(max_size=5) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_toml_reads_back(table: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(table)) == table
    assert parse_toml(to_toml(table)) == table
