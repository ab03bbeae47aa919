"""One target for all faces: what is asked for, or the study's own, or the default."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

import tunability as tb
from analysis.errors import AnalysisError
from analysis.stored_figures import FIGURES, FigureRequest
from analysis.target import DEFAULT_TARGET, own_target, target_of
from search_spaces import SearchSpace
from storage.records import Trials, TuningRun
from storage.store import Store, open_store
from study.service.answers.reads import cost
from study.spec import TuningSpec, parse_tuning

SPACE = SearchSpace.from_table({"alpha": [0.01, 0.1, 1.0]})


def stored(folder: Path, **tuning: float) -> str:
    url = f"sqlite:///{folder}/t.db"
    with open_store(url, create=True) as store:
        spec = {"seeds": 2, **({"tuning": tuning} if tuning else {})}
        store.declare("s", {"adam": {}}, space=SPACE, metric="error", spec=spec, provenance={})
        append(store)
        run = TuningRun("random", 0, "run", "free", 2, SPACE, 3, np.array([1, 0, 2]))
        store.append_runs("s", "adam", [run])
    return url


def append(store: Store) -> None:
    now, value = datetime.now(UTC), np.array([0.1, 0.2, 0.3])
    for seed in (0, 1):
        store.append(
            "s",
            "adam",
            Trials(
                hyperparameters={"alpha": SPACE.cells()[:, 0]},
                seed=seed,
                value=value + seed / 100,
                metrics={},
                curve_steps=np.array([1]),
                curve=value[:, None],
                diverged_at=np.full(3, -1),
                seconds=np.full(3, 0.5),
                started=now,
                finished=now,
            ),
        )


def test_the_study_says_it_or_the_default_stands(tmp_path: Path) -> None:
    assert TuningSpec().target == own_target({}) == DEFAULT_TARGET
    assert own_target({"tuning": parse_tuning({"target": 0.07}).model_dump(exclude_defaults=True)}) == 0.07
    with open_store(stored(tmp_path, target=0.07), create=False) as store:
        assert (target_of(store, "s"), target_of(store, "s", 0.2)) == (0.07, 0.2)
        with pytest.raises(AnalysisError, match="the target nan is not allowed"):
            target_of(store, "s", float("nan"))


@pytest.mark.parametrize(("own", "target"), [({}, DEFAULT_TARGET), ({"target": 0.15}, 0.15)])
def test_python_http_and_figures_take_the_same(tmp_path: Path, own: dict[str, float], target: float) -> None:
    with tb.open(stored(tmp_path, **own)) as database:
        assert set(database.cost("s")["target"]) == {target}
        assert set(database.cost("s/adam", 0.05)["target"]) == {0.05}
        assert cost(database.store, "s", None, None, None, compare=False)["target"] == target
        drawn = FIGURES["cost"](database.store, FigureRequest(("s",)))
        assert any(f"{target:g}" in text.get_text() for text in drawn.findobj(Text))
