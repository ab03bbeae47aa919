"""Numbers as the pages write them."""

import pytest

from study.service.pages import show


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.4, "0 s"),
        (59.6, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_061, "25 h 1 min"),
    ],
)
def test_durations_have_two_units(seconds: float | None, text: str) -> None:
    assert show.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (None, "error", "–"),
        (0.02134, "validation_error", "2.13%"),
        (1.0, "error", "100%"),
        (1.5, "error", "1.5"),  # no share
        (0.02134, "loss", "0.0213"),
    ],
)
def test_only_errors_that_are_shares_are_percentages(value: float | None, name: str, text: str) -> None:
    assert show.metric(value, name) == text


def test_counts_dates_and_names() -> None:
    assert (show.count(None), show.count(1234567)) == ("?", "1,234,567")
    assert (show.date(None), show.date("2026-11-29T14:03:59+00:00")) == ("", "2026-11-29 14:03")
    assert show.segment("a/b ?#ü") == "a%2Fb%20%3F%23%C3%BC"
