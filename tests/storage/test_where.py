import re
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, ColumnElement, Double, String, column

from storage.errors import BadValueError
from storage.page import _encoded
from storage.records import Trials
from storage.store import Store, open_store
from storage.where import WhereError, parse_where

NUMBERS: dict[str, ColumnElement[object]] = {
    **{name: column(name, BigInteger()) for name in ("number", "seed", "diverged_at")},
    **{name: column(name, Double()) for name in ("alpha", "eps", "error", "top-5 error", "seconds", "size")},
}
TEXTS: dict[str, ColumnElement[object]] = {"optimizer": column("optimizer", String())}
GRIDS = {"alpha": (10**-1.6, 0.1)}
WORDS = {"size": ("small", "two words", "large")}


def sql(text: str) -> tuple[str, list[object]]:
    compiled = parse_where(text, NUMBERS, TEXTS, WORDS, GRIDS).compile(
        compile_kwargs={"render_postcompile": True}
    )
    return str(compiled), list(compiled.params.values())


def test_a_value_of_the_grid_is_found_as_it_is_shown() -> None:
    assert sql("alpha = 0.0251189")[1] == [10**-1.6]
    assert sql("alpha = 0.02511886")[1] == [10**-1.6]
    assert sql("alpha = 0.0251")[1] == [0.0251]
    assert sql("alpha in (0.0251189, 0.1)")[1] == [10**-1.6, 0.1]
    assert sql("eps = 0.0251189")[1] == [0.0251189]


@pytest.mark.parametrize(
    ("text", "expected", "values"),
    [
        ("alpha = 1e-3", "alpha = :param_1", [1e-3]),
        ("alpha==.5", "alpha = :param_1", [0.5]),
        ("alpha <> -2.", "alpha != :param_1", [-2.0]),
        ("seed=9223372036854775807", "seed = :param_1", [2**63 - 1]),
        ("seed=9223372036854775808", "seed = :param_1", [2.0**63]),
        ("seed In (0,1 , 2)", "seed IN (:param_1, :param_2, :param_3)", [0, 1, 2]),
        ("seed NOT IN (0)", "(seed NOT IN (:param_1))", [0]),
        (
            "alpha between 0.1 and 1 AND seed=0",
            "alpha BETWEEN :param_1 AND :param_2 AND seed = :param_3",
            [0.1, 1, 0],
        ),
        ("eps not between 1 and 2", "eps NOT BETWEEN :param_1 AND :param_2", [1, 2]),
        ("diverged_at is null", "diverged_at IS NULL", []),
        ("diverged_at IS NOT NULL", "diverged_at IS NOT NULL", []),
        (
            "seed=0 or seed=1 and alpha<1",
            "seed = :param_1 OR seed = :param_2 AND alpha < :param_3",
            [0, 1, 1],
        ),
        (
            "(seed=0 or seed=1) and not (alpha<1 and eps>2)",
            "(seed = :param_1 OR seed = :param_2) AND NOT (alpha < :param_3 AND eps > :param_4)",
            [0, 1, 1, 2],
        ),
        ('"top-5 error" >= 1', '"top-5 error" >= :param_1', [1]),
        ("size = 'two words' or size>large", "size = :param_1 OR size > :param_2", [1, 2]),
        ("size in ('small', 2)", "size IN (:param_1, :param_2)", [0, 2]),
        ("optimizer = 'it''s'", "optimizer = :param_1", ["it's"]),
        ("optimizer != adam", "optimizer != :param_1", ["adam"]),
        ('optimizer in ("adam", sgd)', "optimizer IN (:param_1, :param_2)", ["adam", "sgd"]),
        ("optimizer = '); DROP TABLE trials; --'", "optimizer = :param_1", ["); DROP TABLE trials; --"]),
    ],
)
def test_filters_become_sql_with_bound_values(text: str, expected: str, values: list[object]) -> None:
    assert sql(text) == (expected, values)


def test_a_keyword_may_begin_a_name() -> None:
    names = {name: column(name, Double()) for name in ("notes", "inner", "order", "android", "isnt")}
    for name in names:
        assert name in str(parse_where(f"not {name} in (1)", names, {}, {}))
    assert "null" in str(parse_where('"null" is null', {"null": column("null", Double())}, {}, {}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the filter ends too early at column 1 (>>>): write for example alpha < 0.1"),
        ("alpha <", "the filter ends too early at column 8 (alpha <>>>)"),
        ("alpha < and seed = 0", "the filter cannot be read at column 9 (alpha < >>>and seed = 0)"),
        ("null is null", "the filter cannot be read at column 1 (>>>null is null)"),
        ("alpha < 1 seed", "the filter cannot be read at column 11 (alpha < 1 >>>seed)"),
        ("alpha < 0.1; drop table trials", "at column 12 (alpha < 0.1>>>; drop table trials)"),
        ("alpha < 1 or (seed = 0", "the filter ends too early at column 23"),
        ("alpha = seed", "alpha is a number: compare it with a number, such as 1e-3; at column 9"),
        ("alpha in (1, 'x')", "alpha is a number: compare it with a number, such as 1e-3; at column 14"),
        ("size = 'huge'", "size has no 'huge': it has, in this order, small, two words, large; at column 8"),
        ("optimizer = 3", "optimizer is a text: compare it with a text, such as 'adam'; at column 13"),
        ("optimizer < 'b'", "optimizer is a text: compare it by = or != or in; at column 11"),
        ("optimizer between a and b", "optimizer is a text: compare it by = or != or in; at column 1"),
        (
            "seed = 0 and alhpa < 1",
            "there is no field 'alhpa' (did you mean 'alpha'?); the fields are number, seed, diverged_at, "
            "alpha, eps, error, top-5 error, seconds, size, optimizer; at column 14 (seed = 0 and >>>alhpa < 1)",
        ),
        ("Seed = 0", "there is no field 'Seed' (did you mean 'seed'?)"),
        ("not " * 41 + "seed = 0", "nests conditions more than 40 deep"),
    ],
)
def test_what_cannot_be_read_is_marked(text: str, message: str) -> None:
    with pytest.raises(WhereError) as caught:
        parse_where(text, NUMBERS, TEXTS, WORDS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_filter_is_quoted_around_the_mistake() -> None:
    text = " or ".join(["seed = 0"] * 200) + " or seed ="
    with pytest.raises(WhereError) as caught:
        parse_where(text, NUMBERS, TEXTS, WORDS)
    assert len(str(caught.value)) < 250
    assert len(sql(" or ".join(["seed = 0"] * 700))[1]) == 700
    assert len(sql(f"seed in ({', '.join(['0'] * 6000)})")[1]) == 6000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" and ".join(["alpha < 1"] * 20_000), "the filter has 279,995 characters: give at most 20,000"),
        (" and ".join(["alpha < 1"] * 801), "the filter has more than 800 conditions"),
        ("seed in (" + ",".join(["0"] * 9_000) + ") and " + "x" * 20_000, "characters"),
    ],
)
def test_what_no_database_reads_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(WhereError) as caught:
        parse_where(text, NUMBERS, TEXTS, WORDS)
    assert message in str(caught.value)


def test_numbers_of_very_many_digits_are_as_large_as_any() -> None:
    assert sql("seed < " + "9" * 4_400)[1] == [float("inf")]


@pytest.mark.parametrize(("letter", "name"), [("\0", "U+0000"), ("\ud800", "U+D800"), ("\udcff", "U+DCFF")])
def test_characters_that_no_database_keeps(letter: str, name: str) -> None:
    with pytest.raises(
        BadValueError, match=f"the filter has the character {re.escape(name)}, which no database"
    ):
        parse_where(f"optimizer = 'a{letter}'", NUMBERS, TEXTS, WORDS)


@pytest.fixture(scope="module")
def filled(
    kind: str,
    prepared: Callable[[str], str],
    declare: Callable[..., None],
    batch: Callable[..., Trials],
) -> Iterator[Store]:
    """A study with missing values and ties in every column that may have them."""
    rng = np.random.default_rng(1)
    with open_store(prepared(kind), create=True) as store:
        declare(store)
        for optimizer in ("adam", "avagrad"):
            for seed in range(2):
                diverged_at = rng.choice([-1, -1, 0, 7, 300], 12)
                loss = np.where(diverged_at < 0, rng.integers(0, 9, 12) / 8, np.nan)
                trials = batch(
                    seed=seed,
                    value=rng.integers(0, 9, 12) / 8,
                    metrics={"loss": loss},
                    diverged_at=diverged_at,
                )
                store.append("digits", optimizer, trials)
        yield store


Mask = Callable[[pd.DataFrame], pd.Series]
Filter = tuple[str, Mask]

VALUES = st.sampled_from([0, 1, 7, 12, 300, 0.125, 0.5, 0.25, 1e-8, 1e-4, 0.01, 0.1, 10.0, -3, 1.5])
FIELDS = st.sampled_from(["number", "seed", "eps", "alpha", "error", "loss", "diverged_at", "seconds"])
SIGNS: dict[str, Callable[[pd.Series, float], pd.Series]] = {
    "=": lambda column, value: column == value,
    "==": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<>": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}


def keyword(word: str) -> st.SearchStrategy[str]:
    return st.sampled_from([word, word.upper(), word.title()])


@st.composite
def comparisons(draw: st.DrawFn) -> Filter:
    field, sign, value = draw(FIELDS), draw(st.sampled_from(sorted(SIGNS))), draw(VALUES)
    return f"{field} {sign} {value!r}", lambda frame: SIGNS[sign](frame[field], value)


@st.composite
def ranges(draw: st.DrawFn) -> Filter:
    field, low, high = draw(FIELDS), draw(VALUES), draw(VALUES)
    between, and_ = draw(keyword("between")), draw(keyword("and"))
    return (
        f"{field} {between} {low!r} {and_} {high!r}",
        lambda frame: (frame[field] >= low) & (frame[field] <= high),
    )


@st.composite
def memberships(draw: st.DrawFn) -> Filter:
    field, values = draw(FIELDS), draw(st.lists(VALUES, min_size=1, max_size=4))
    word = draw(keyword("in"))
    return (
        f"{field} {word} ({', '.join(map(repr, values))})",
        lambda frame: frame[field].isin(values).astype("boolean").mask(frame[field].isna()),
    )


@st.composite
def absences(draw: st.DrawFn) -> Filter:
    field, word = draw(FIELDS), draw(keyword("null"))
    return f"{field} is {word}", lambda frame: frame[field].isna().astype("boolean")


@st.composite
def optimizers(draw: st.DrawFn) -> Filter:
    name = draw(st.sampled_from(["adam", "avagrad", "sgd"]))
    return f"optimizer = '{name}'", lambda frame: (frame["optimizer"] == name).astype("boolean")


def negated(inner: Filter) -> Filter:
    text, mask = inner
    return f"not ({text})", lambda frame: ~mask(frame)


def joined(pair: tuple[Filter, Filter, bool]) -> Filter:
    (left, left_mask), (right, right_mask), both = pair
    if both:
        return f"({left}) and ({right})", lambda frame: left_mask(frame) & right_mask(frame)
    return f"{left} OR {right}", lambda frame: left_mask(frame) | right_mask(frame)


FILTERS = st.recursive(
    st.one_of(comparisons(), ranges(), memberships(), absences(), optimizers()),
    lambda inner: st.one_of(inner.map(negated), st.tuples(inner, inner, st.booleans()).map(joined)),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(chosen=FILTERS)
def test_a_filter_selects_what_pandas_selects(filled: Store, chosen: Filter) -> None:
    text, mask = chosen
    everything = filled.trials("digits")
    assert len(everything) == 48
    # pandas' nullable types know the same three truth values as SQL.
    nullable = everything.astype({name: "Float64" for name in everything.columns if name != "optimizer"})
    expected = everything[mask(nullable).fillna(False).to_numpy(dtype=bool)].reset_index(drop=True)
    pd.testing.assert_frame_equal(filled.trials("digits", where=text), expected)


def test_the_longest_filters_can_be_answered(filled: Store) -> None:
    many = " or ".join(["seed = 9", "alpha > 0"] * 390)
    assert len(filled.trials("digits", where=many)) == 48
    assert len(filled.page("digits", where=f"seed in ({', '.join(['0'] * 6_000)})", limit=100)[0]) == 24


def test_values_beyond_the_database_are_the_asker_s_mistake(filled: Store) -> None:
    for call in (
        lambda: filled.trial("digits", "adam", 2**70),
        lambda: filled.about("digits\ud800"),
        lambda: filled.page("digits", cursor=_encoded(["optimizer", False], ["adam", 2**31])),
        lambda: filled.page("digits", sort="seed", cursor=_encoded(["seed", False], [1, 2**40])),
    ):
        with pytest.raises(BadValueError) as caught:
            call()
        assert "\n" not in str(caught.value)
