"""Figures of tuning cost show what they are given."""

import numpy as np
import pandas as pd
import xarray as xr

from analysis.cost.band import median_band
from analysis.suboptimality import performance_profile, running_times
from analysis.tuning_figures import cost_figure, profile_figure, suboptimality_figure


def curves() -> xr.DataArray:
    source = np.random.default_rng(0)
    steps = source.exponential(0.02, (2, 3, 20, 30)).cumsum(axis=-1)
    labels = {
        "optimizer": ["adam", "avagrad"],
        "tuner": ["random", "gld", "cgld"],
        "replicate": range(20),
        "trial": range(1, 31),
    }
    return xr.DataArray(
        np.maximum(0.3 - steps, 0),
        labels,
        tuple(labels),
        attrs={"metric": "validation_error", "noise": "seed"},
    )


def test_a_panel_for_each_tuner_and_its_medians() -> None:
    bands = [
        median_band(curves().sel(optimizer=optimizer, tuner=tuner).values.reshape(4, 5, 30)).assign(
            optimizer=optimizer, tuner=tuner, observed=0.2
        )
        for tuner in ("random", "gld", "cgld")
        for optimizer in ("adam", "avagrad")
    ]
    bands[1].loc[:, ["median", "low", "high"]] = np.nan  # of avagrad with random search
    figure = suboptimality_figure(pd.concat(bands), "validation_error", target=0.01)
    panels = {panel.get_title(): panel for panel in figure.axes}
    assert list(panels) == ["random", "gld", "cgld"]
    lines = {line.get_label(): line for line in panels["gld"].get_lines()}
    assert {"adam", "avagrad"} <= lines.keys()
    shown = np.asarray(lines["avagrad"].get_ydata())
    above = bands[3]["median"] > shown.min()
    np.testing.assert_allclose(shown[above], bands[3]["median"][above])
    assert (shown > 0).all()
    unknown = [line for line in panels["random"].get_lines() if line.get_label() == "avagrad"]
    assert (unknown[0].get_linestyle(), unknown[0].get_ydata()[0]) == (":", 0.2)


def costs() -> pd.DataFrame:
    """A median that is known, one beyond the budget, one whose interval is open, and one that is not known."""
    columns = ["tuner", "median", "low", "high", "reached", "observed"]
    rows = [
        ("random", 12, 8, 20, 1.0, 14),
        ("gld", np.nan, 25, np.nan, 0.4, np.nan),
        ("cgld", 20, 10, np.nan, 0.8, 9),
        ("grid", np.nan, np.nan, np.nan, np.nan, 7),
    ]
    return pd.DataFrame(rows, columns=columns).assign(optimizer="adam", target=0.01)


def test_a_bar_for_each_median_and_words_where_there_is_none() -> None:
    (ax,) = cost_figure(costs()).axes
    heights = [bar.get_height() for bars in ax.containers[:1] for bar in bars]
    np.testing.assert_allclose(heights, [12, np.nan, 20, np.nan])
    texts = [text.get_text() for text in ax.texts]
    assert "40% of runs\nreach it" in texts
    assert {"12", "20"} <= set(texts)
    assert all(text.xy[1] == float(text.get_text()) for text in ax.texts if text.get_text().isdigit())
    assert 7 in [line.get_ydata()[0] for line in ax.get_lines() if line.get_marker() == "_"]
    assert ax.get_title() == "median and its 95% interval; lines: observed, interval not known"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["random", "gld", "cgld", "grid"]


def test_a_profile_is_drawn_as_steps() -> None:
    table = running_times(curves(), 0.05)
    profile = performance_profile(pd.DataFrame(table.assign(landscape=table["optimizer"])))
    (ax,) = profile_figure(profile).axes
    assert [line.get_label() for line in ax.get_lines()] == ["random", "gld", "cgld"]
    assert max(line.get_ydata()[-1] for line in ax.get_lines()) == 1.0
