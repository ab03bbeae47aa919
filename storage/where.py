"""The language of ``--where``: a text such as ``alpha < 0.1 and seed in (0, 1)`` becomes an SQL expression.

Values are always bound parameters and names are looked up, so no part of the text reaches the database as
SQL. As in SQL, a comparison with a missing value is neither true nor false: ``not diverged_at > 100`` selects
the trials that diverged at step 100 or before, and ``diverged_at is null`` those that did not diverge.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, Tree, v_args
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError
from sqlalchemy import BigInteger, ColumnElement, Double, String, and_, literal, not_, or_

from search_spaces import nearest_name
from storage.characters import unstorable
from storage.errors import BadValueError

GRAMMAR = r"""
?start: either
?either: both (_OR both)*
?both: condition (_AND condition)*
?condition: _NOT condition -> negation
    | "(" either ")"
    | field OPERATOR value -> comparison
    | field _IN "(" value ("," value)* ")" -> membership
    | field _NOT _IN "(" value ("," value)* ")" -> no_membership
    | field _BETWEEN value _AND value -> between
    | field _NOT _BETWEEN value _AND value -> not_between
    | field _IS _NULL -> missing
    | field _IS _NOT _NULL -> present
?field: NAME | QUOTED
?value: NUMBER | STRING | QUOTED | NAME
OPERATOR: "==" | "=" | "!=" | "<>" | "<=" | ">=" | "<" | ">"
NAME: /(?!(and|or|not|in|between|is|null)\b)[a-z_]\w*/i
_AND: /and\b/i
_OR: /or\b/i
_NOT: /not\b/i
_IN: /in\b/i
_BETWEEN: /between\b/i
_IS: /is\b/i
_NULL: /null\b/i
NUMBER: /[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?/i
STRING: /'([^']|'')*'/
QUOTED: /"[^"]*"/
%ignore /\s+/
"""
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
EXAMPLE = "write for example alpha < 0.1 and seed in (0, 1)"
# Deeper nesting would exhaust Python's stack while SQLAlchemy writes the SQL.
DEEPEST = 40
MOST_CHARACTERS = 20_000
"""Of a filter, which are read in a tenth of a second."""
MOST_CONDITIONS = 800
"""SQLite refuses expressions that are more than 1,000 deep, and a row of conditions is as deep as it is long."""

Condition = ColumnElement[bool]


class WhereError(ValueError):
    """A filter cannot be read or names an unknown field; the message is one line and marks the place."""


NO_GRIDS: Mapping[str, Sequence[float]] = {}


def parse_where(
    text: str,
    numbers: Mapping[str, ColumnElement[Any]],
    texts: Mapping[str, ColumnElement[Any]],
    words: Mapping[str, Sequence[str]],
    grids: Mapping[str, Sequence[float]] = NO_GRIDS,
) -> Condition:
    """The SQL condition that a filter describes.

    Args:
        text: the filter. Comparisons = == != <> < <= > >=, ``[not] in (…)``, ``[not] between a and b``,
            ``is [not] null``, and, or, not and parentheses; keywords in any case. A text value may be quoted
            ('adam'), and a field's name too ("top-5 error").
        numbers: the fields that are compared with numbers, and the SQL expression of each.
        texts: the fields that are compared with texts, by = != and in only.
        words: of numbers that are places of words, the words, which may stand for them.
        grids: the values that axes have; one of them is also found by its six digits, as tables show it.

    Raises:
        WhereError: the text is too long or cannot be read, a field is unknown, or a value is of the wrong kind.
        BadValueError: it has a character that no database keeps.
    """
    if len(text) > MOST_CHARACTERS:
        raise WhereError(
            f"the filter has {len(text):,} characters: give at most {MOST_CHARACTERS:,}, for example with in (…)"
        )
    if (problem := unstorable(text)) is not None:
        raise BadValueError(f"the filter has {problem}")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        place = len(text) if at_end else error.pos_in_stream or 0
        came = "ends too early" if at_end else "cannot be read"
        raise WhereError(f"the filter {came} at {_marked(text, place)}: {EXAMPLE}") from None
    if _depth(tree) > DEEPEST:
        raise WhereError(f"the filter nests conditions more than {DEEPEST} deep: write it with fewer levels")
    if sum(1 for _ in tree.iter_subtrees()) > MOST_CONDITIONS:
        raise WhereError(
            f"the filter has more than {MOST_CONDITIONS} conditions: say it with fewer, for example with in (…)"
        )
    try:
        condition: Condition = _ToSql(text, numbers, texts, words, grids).transform(tree)
    except VisitError as error:
        raise error.orig_exc from None
    return condition


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr")


def _depth(tree: Tree[Token]) -> int:
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for parent in level for child in parent.children if isinstance(child, Tree)]
    return depth


def _marked(text: str, place: int) -> str:
    """The place in words, with its surroundings: ``column 9 (alpha < >>>and seed = 0)``."""
    start, stop = max(0, place - 40), place + 40
    before = ("…" if start else "") + text[start:place]
    after = text[place:stop] + ("…" if stop < len(text) else "")
    return " ".join(f"column {place + 1} ({before}>>>{after})".split())


@v_args(inline=True)
class _ToSql(Transformer[Token, Condition]):
    """Turn the tree of a filter, from its leaves up, into one SQL condition."""

    def __init__(
        self,
        text: str,
        numbers: Mapping[str, ColumnElement[Any]],
        texts: Mapping[str, ColumnElement[Any]],
        words: Mapping[str, Sequence[str]],
        grids: Mapping[str, Sequence[float]],
    ) -> None:
        super().__init__()
        self._text = text
        self._numbers = numbers
        self._texts = texts
        self._words = words
        self._grids = grids

    def either(self, *conditions: Condition) -> Condition:
        return or_(*conditions)

    def both(self, *conditions: Condition) -> Condition:
        return and_(*conditions)

    def negation(self, condition: Condition) -> Condition:
        return not_(condition)

    def comparison(self, field: Token, sign: Token, value: Token) -> Condition:
        if _bare(field) in self._texts and sign not in ("=", "==", "!=", "<>"):
            raise self._error(sign, f"{_bare(field)} is a text: compare it by = or != or in")
        column, (bound,) = self._operands(field, [value])
        condition: Condition = OPERATORS[sign](column, bound)
        return condition

    def membership(self, field: Token, *values: Token) -> Condition:
        column, bound = self._operands(field, values)
        return column.in_(bound)

    def no_membership(self, field: Token, *values: Token) -> Condition:
        return not_(self.membership(field, *values))

    def between(self, field: Token, low: Token, high: Token) -> Condition:
        if _bare(field) in self._texts:
            raise self._error(field, f"{_bare(field)} is a text: compare it by = or != or in")
        column, (least, most) = self._operands(field, [low, high])
        return column.between(least, most)

    def not_between(self, field: Token, low: Token, high: Token) -> Condition:
        return not_(self.between(field, low, high))

    def missing(self, field: Token) -> Condition:
        return self._column(field).is_(None)

    def present(self, field: Token) -> Condition:
        return self._column(field).is_not(None)

    def _operands(
        self, field: Token, values: Iterable[Token]
    ) -> tuple[ColumnElement[Any], list[ColumnElement[Any]]]:
        column = self._column(field)
        read = self._as_text if _bare(field) in self._texts else self._as_number
        return column, [read(field, value) for value in values]

    def _column(self, field: Token) -> ColumnElement[Any]:
        name = _bare(field)
        fields = {**self._numbers, **self._texts}
        if name not in fields:
            raise self._error(
                field,
                f"there is no field {name!r}{nearest_name(name, fields)}; the fields are {', '.join(fields)}",
            )
        return fields[name]

    def _as_number(self, field: Token, value: Token) -> ColumnElement[Any]:
        words = self._words.get(_bare(field), ())
        if value.type != "NUMBER" and _bare(value) in words:
            return literal(words.index(_bare(value)), BigInteger())
        if value.type != "NUMBER" and words:
            raise self._error(
                value, f"{_bare(field)} has no {_bare(value)!r}: it has, in this order, {', '.join(words)}"
            )
        if value.type != "NUMBER":
            raise self._error(value, f"{_bare(field)} is a number: compare it with a number, such as 1e-3")
        digits = value.lstrip("+-")
        if digits.isdigit() and len(digits) < 4_000 and abs(int(value)) < 2**63:  # Python reads 4,300 at most
            return literal(int(value), BigInteger())
        # Each with its type: in a list, SQLAlchemy would send PostgreSQL 0.5 as an integer beside an integer.
        return literal(self._on_grid(_bare(field), float(value)), Double())

    def _on_grid(self, axis: str, value: float) -> float:
        """The axis's value that is shown like this one, if there is one; else the number as it is."""
        values = self._grids.get(axis, ())
        if value in values:
            return value
        return next((each for each in values if f"{each:.6g}" == f"{value:.6g}"), value)

    def _as_text(self, field: Token, value: Token) -> ColumnElement[Any]:
        if value.type == "NUMBER":
            raise self._error(value, f"{_bare(field)} is a text: compare it with a text, such as 'adam'")
        return literal(_bare(value), String())

    def _error(self, token: Token, problem: str) -> WhereError:
        return WhereError(f"{problem}; at {_marked(self._text, token.start_pos or 0)}")


def _bare(token: Token) -> str:
    """A name or a text without its quotes."""
    if token.type == "STRING":
        return token[1:-1].replace("''", "'")
    return token[1:-1] if token.type == "QUOTED" else str(token)
