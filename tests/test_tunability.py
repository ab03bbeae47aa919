"""The door for Python: the same answers as the command line gives, as objects."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import tunability as tb
from analysis.errors import AnalysisError
from storage.errors import MissingDatabaseError, StoreError
from study.cli import main
from study.spec import SpecError

SPEC: dict[str, Any] = {
    "name": "small",
    "workload": {"name": "digits-mlp", "steps": 20},
    "optimizers": ["adam", "avagrad"],
    "space": {"alpha": [0.001, 0.01, 0.1, 1], "eps": [1e-8, 1e-4, 1]},
    "seeds": 3,
    "tuning": {"tuners": ["random", "cgld"], "trials": 6, "replicates": 4},
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study that was run and tuned on through Python."""
    url = f"sqlite:///{tmp_path_factory.mktemp('python')}/t.db"
    planned = tb.plan(SPEC, url)
    assert (planned.trials, planned.stored) == (72, 0)
    assert planned.seconds is not None
    assert planned.notes[0].startswith("adam: fused, uncompiled, about ")
    report = tb.run(SPEC, url, local=True)
    assert (report.done, report.new, report.failures) == (72, 72, [])
    assert tb.plan(SPEC, url).blocks == 0
    assert tb.tune(SPEC, url, replicates=5, local=True).new == 20
    assert tb.tune("small", url, tuners=["random"], trials=6, replicates=5, local=True).new == 0
    return url


@pytest.fixture
def opened(url: str) -> Iterator[tb.TrialDatabase]:
    with tb.open(url) as database:
        yield database


def command(url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["tunability", *words, "--storage", url])
    capfd.readouterr()
    with pytest.raises(SystemExit) as exit:
        main()
    assert not exit.value.code
    return capfd.readouterr().out


def test_trials_cells_and_curves(opened: tb.TrialDatabase) -> None:
    assert opened.studies()["trials"].tolist() == [36, 36]
    every = opened.trials("small")
    some = opened.trials(
        "small/adam", where="alpha = 0.01 and eps = 1", sort="-seed", limit=2, columns=["seed"]
    )
    assert some["seed"].tolist() == [2, 1]
    cells = opened.trials("small", per_cell=True)
    assert len(cells) == 24
    for row in cells.itertuples():
        own = every[
            (every.optimizer == row.optimizer) & (every.alpha == row.alpha) & (every.eps == row.eps)
        ].validation_error
        assert row.validation_error == pytest.approx(own.mean())
        assert row.spread == pytest.approx(np.std(own, ddof=1))
        assert (row.seeds, row.diverged) == (3, 0)
    near = opened.trials("small", per_cell=True, within=0.02)
    best = cells.groupby("optimizer")["validation_error"].min()
    assert near["optimizer"].nunique() == 2
    assert len(near) == sum(row.validation_error <= best[row.optimizer] + 0.02 for row in cells.itertuples())
    curves = opened.curves("small/avagrad", where="alpha = 0.1")
    assert len(curves) == 3 * 3 * 20
    ends = curves[curves["step"] == 20].set_index("number")["validation_error"]
    final = every[(every.optimizer == "avagrad") & (every.alpha == 0.1)].set_index("number")[
        "validation_error"
    ]
    assert ends.to_dict() == final.to_dict()
    timed = opened.trials("small/adam", times=True, sort="finished")
    assert (timed["finished"] >= timed["started"]).all()
    assert timed["finished"].is_monotonic_increasing
    assert set(timed["launch"]) == {0}
    assert timed["finished"].dt.date.value_counts().sum() == 36
    top = opened.curves("small", sort="validation_error", limit=5)
    assert top.groupby(["optimizer", "number"]).ngroups == 5
    assert len(opened.curves("small/adam", "small/avagrad")) == 72 * 20
    both = opened.trials("small/adam", "small/avagrad")
    assert both["study"].tolist() == ["small"] * 72
    assert opened.curves("small", where="alpha > 1").empty
    assert opened.failures("small").empty


def test_answers_are_those_of_the_command_line(
    url: str,
    opened: tb.TrialDatabase,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    verdicts = opened.separability("small")
    said = json.loads(command(url, monkeypatch, capfd, "separability", "small", "--format", "json"))
    assert json.loads(json.dumps(verdicts.to_json())) == said
    assert str(verdicts).splitlines()[0] == verdicts[0].sentence
    assert verdicts.table()["optimizer"].tolist() == ["adam", "avagrad"]
    assert verdicts[0].sentence.split(";")[0] in verdicts._repr_html_()
    costs = opened.cost("small", target=0.02)
    told = json.loads(
        command(url, monkeypatch, capfd, "cost", "small", "--target", "0.02", "--format", "json")
    )
    assert costs.astype(object).where(costs.notna(), None).to_dict("records") == told
    with pytest.warns(tb.Note, match="what is undecided would become clearer by about"):
        assert {"random", "cgld"} <= set(opened.comparisons("small", target=0.02)["on"])
    found = opened.sensitivity("small")
    said = json.loads(command(url, monkeypatch, capfd, "sensitivity", "small", "--format", "json"))
    assert json.loads(json.dumps(found.to_json())) == said
    table = command(
        url, monkeypatch, capfd, "trials", "small", "--per-cell", "--within", "0", "--format", "csv"
    )
    assert len(table.splitlines()) == 1 + len(opened.trials("small", per_cell=True, within=0))


def test_landscapes_and_figures(opened: tb.TrialDatabase, tmp_path: Path) -> None:
    values = opened.landscape("small/adam")
    assert dict(values.sizes) == {"seed": 3, "alpha": 4, "eps": 3}
    assert list(opened.landscapes("small")) == ["adam", "avagrad"]
    with pytest.raises(AnalysisError, match="several optimizers: give one of small/adam, small/avagrad"):
        opened.landscape("small")
    own = Figure(layout="constrained")
    FigureCanvasAgg(own)
    left, right = own.subplots(1, 2)
    assert opened.plot.landscape("small/adam", ax=left) is None
    right.plot([1, 2])
    mesh, *_ = left.collections
    np.testing.assert_allclose(np.asarray(mesh.get_array()).ravel(), values.mean("seed").values.ravel())
    own.savefig(tmp_path / "own.png")
    with pytest.raises(AnalysisError, match="one panel takes one landscape, and these are 2"):
        opened.plot.landscape("small", ax=left)
    for figure in (
        opened.plot.landscape("small", axes=["eps", "alpha"]),
        opened.plot.separability("small"),
        opened.plot.sensitivity("small"),
        opened.plot.suboptimality("small", target=0.02),
        opened.plot.cost("small", target=0.02),
        opened.plot.profile("small", target=0.02),
    ):
        assert isinstance(figure, Figure)


def test_a_file_is_run_and_bad_input_is_one_line(tmp_path: Path, url: str, opened: tb.TrialDatabase) -> None:
    with pytest.raises(MissingDatabaseError):
        tb.open(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(ValueError, match="give one of them"):
        tb.run(SPEC, url, address="a:1", local=True)
    with pytest.raises(SpecError, match="optimizers"):
        tb.run({"name": "x"}, url)
    with pytest.raises(StoreError, match="there is no column 'speed': there are optimizer, number"):
        opened.trials("small", sort="speed")
    with pytest.raises(StoreError, match="ask for a row a cell"):
        opened.trials("small", within=0.1)
    with pytest.raises(StoreError, match="at least 0"):
        opened.trials("small", per_cell=True, within=-1.0)
    for ask in (opened.trials, opened.curves):
        with pytest.raises(StoreError, match="a number of rows, at least 0: -1 is not"):
            ask("small", limit=-1)
        with pytest.raises(StoreError, match="name a study"):
            ask()
    with pytest.warns(tb.Note, match="avagrad"):
        opened.landscapes("small", where="optimizer = 'adam'")
