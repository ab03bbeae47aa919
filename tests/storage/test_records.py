import dataclasses
from collections.abc import Callable
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import Trials, cell_key

NAMES = st.text("abcxyz_", min_size=1, max_size=8)
CELLS = st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), min_size=1)


def test_cell_key_sorts_names_and_keeps_every_digit() -> None:
    assert cell_key({"eps": 1e-8, "alpha": 0.1 + 0.2}) == "alpha=0.30000000000000004,eps=1e-08"
    assert cell_key({"alpha": 1}) == cell_key({"alpha": np.float64(1)}) == "alpha=1.0"
    assert cell_key({"alpha": -0.0}) == cell_key({"alpha": 0.0})


@given(CELLS)
def test_cell_key_reads_back(cell: dict[str, float]) -> None:
    read = {name: float(value) for name, value in (part.split("=") for part in cell_key(cell).split(","))}
    assert read == cell


def test_cells_are_the_keys_of_the_rows(batch: Callable[..., Trials]) -> None:
    trials = batch(slice(3, 6))
    assert len(trials) == 3
    assert trials.cells() == ["alpha=10.0,eps=1e-08", "alpha=0.01,eps=0.0001", "alpha=0.1,eps=0.0001"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": np.zeros((3, 1))}, r"value has the shape \(3, 1\): give \(3,\)"),
        ({"value": np.array([0.0, np.inf, 0.0])}, "value has inf for trial 1 of 3"),
        ({"value": [0.0, 0.0, 0.0]}, "value is list: give an array of floats"),
        ({"hyperparameters": {}}, "hyperparameters is empty"),
        ({"hyperparameters": {"alpha": np.zeros(4)}}, r"\['alpha'\] has the shape \(4,\): give \(3,\)"),
        ({"hyperparameters": {"alpha": np.full(3, np.nan)}}, r"\['alpha'\] has nan for trial 0"),
        ({"metrics": {"loss": np.zeros(2)}}, r"metrics\['loss'\] has the shape \(2,\)"),
        ({"metrics": {"seed": np.zeros(3)}}, "'seed', which names another column"),
        ({"metrics": {"alpha": np.zeros(3)}}, "'alpha', which names another column"),
        ({"curve": np.zeros((3, 2))}, r"curve has the shape \(3, 2\): give \(3, 3\)"),
        ({"curve_steps": np.array([0, 200, 200])}, "strictly increasing"),
        ({"curve_steps": np.array([-1, 0, 1])}, "from 0 to"),
        (
            {"curve_steps": np.array([0.0, 1.0, 2.0])},
            "curve_steps is an array of float64: give an array of int",
        ),
        ({"diverged_at": np.array([-1, -2, 5])}, "diverged_at has -2"),
        ({"diverged_at": np.zeros(3)}, "diverged_at is an array of float64"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"seed": 2**63}, r"2\*\*63 - 1"),
        ({"seconds": np.array([0.0, np.nan, 1.0])}, "seconds has nan for trial 1"),
        ({"seconds": np.array([0.0, -1.0, 1.0])}, "seconds has -1.0: give 0 or more"),
        ({"started": datetime(2026, 1, 1)}, "started is .*time zone"),
    ],
)
def test_wrong_trials_are_refused_by_field(
    batch: Callable[..., Trials], change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        batch(slice(3), **change)


def test_trials_are_frozen(batch: Callable[..., Trials]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch().seed = 3  # type: ignore[misc]
