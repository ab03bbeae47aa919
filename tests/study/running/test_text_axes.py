"""Black boxes with axes of words through Ray: ordered ones are axes, the others labels; both are given as words."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from trained_here import train_here

from analysis.separability import judge_all
from analysis.stored import stored_landscapes
from storage.copy import copy_study, merge_study
from storage.store import StoreError, open_store
from study.running.plan import stored_plan
from study.running.tuning import tune
from study.spec import SpecError, TuningSpec, parse_spec, to_toml
from study.training.resolve import Study, resolve

Cli = Callable[..., tuple[int, str, str]]
SIZES = ["tiny", "small", "medium", "large", "huge"]
MODULE = """
SIZES = ["tiny", "small", "medium", "large", "huge"]

def train(hyperparameters, optimizer, seed):
    with open("log", "a") as file:
        file.write(f"{optimizer} {sorted(hyperparameters.items())}\\n")
    size, lr = SIZES.index(hyperparameters["size"]), hyperparameters["lr"]
    bend = {"relu": 0.3, "tanh": 0.0}[hyperparameters["activation"]]
    return 1 + (size - 2 - bend * (lr - 1.5)) ** 2 / 10 + seed / 1000
"""
SPEC: dict[str, Any] = {
    "name": "sized",
    "workload": {"function": "sized_box:train", "metric": "loss"},
    "optimizers": ["adam"],
    "space": {
        "size": {"ordered": SIZES},
        "lr": {"low": 0, "high": 3, "num": 6},
        "activation": ["relu", "tanh"],
    },
    "seeds": 2,
}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("sized_box", None)
    (tmp_path / "sized_box.py").write_text(MODULE)
    return f"sqlite:///{tmp_path}/t.db"


def quiet(done: int, total: int) -> None:
    pass


def sized(**changes: Any) -> Study:
    return resolve(parse_spec(SPEC | changes))


def with_sizes(*words: str) -> Study:
    return sized(space=SPEC["space"] | {"size": {"ordered": list(words)}})


def test_words_are_given_stored_judged_and_shown(tmp_path: Path, url: str, cli: Cli) -> None:
    path = tmp_path / "sized.toml"
    path.write_text(to_toml(SPEC))
    said = "activation: choices have no order, so each is studied by itself, as adam-relu, adam-tanh\n"
    code, out, err = cli("run", path, "--storage", url, "--dry-run")
    assert (code, err) == (0, said)
    assert "120 trials, 0 of them stored" in out
    assert not (tmp_path / "t.db").exists()
    code, out, err = cli("run", path, "--local", "--storage", url)
    assert code == 0
    assert err.startswith(said)
    assert "size = medium, lr = " in out
    log = (tmp_path / "log").read_text().splitlines()
    assert len(log) == 120
    # the axis lr has 0.6 and so gives floats throughout, also where a value is whole
    assert "adam [('activation', 'relu'), ('lr', 3.0), ('size', 'tiny')]" in log
    with open_store(url, create=False) as store:
        assert store.optimizers("sized") == ["adam-relu", "adam-tanh"]
        assert store.space("sized").words == {"size": tuple(SIZES)}
        assert set(store.trials("sized")["size"]) == {0, 1, 2, 3, 4}
        panels = stored_landscapes(store, ["sized"])
    relu, tanh = judge_all(panels)
    assert (relu.verdict, tanh.verdict) == ("coupled", "decoupled")
    np.testing.assert_allclose(relu.ridge.slope.estimate, 0.3, atol=0.02)
    plain = optuna.load_study(study_name="sized/adam-relu", storage=url)
    assert plain.best_params["size"] == 2.0
    code, out, err = cli(
        "trials", "sized", "--where", "size = 'medium' and seed = 0", "--storage", url, "--format", "json"
    )
    assert {each["size"] for each in json.loads(out)} == {"medium"}
    assert len(json.loads(out)) == 12
    figure = tmp_path / "held.svg"
    assert cli("plot", "landscape", "sized", "--at", "size=medium", "-o", figure, "--storage", url)[0] == 0
    code, out, err = cli("plot", "landscape", "sized", "--at", "size=mediun", "-o", figure, "--storage", url)
    assert (code, err) == (2, f"error: size = mediun is not on the grid: it has {', '.join(SIZES)}\n")
    few = ("--tuners", "cgld", "--trials", 5, "--replicates", 2)
    code, out, err = cli("tune", path, *few, "--local", "--storage", url)
    assert code == 0
    assert err.startswith(said)
    assert len((tmp_path / "log").read_text().splitlines()) == 120


def test_words_grow_at_the_end_alone(tmp_path: Path, url: str) -> None:
    assert train_here(with_sizes("tiny", "small"), url).done == 48
    report = train_here(with_sizes("tiny", "small", "medium"), url)
    assert (report.done, report.new) == (72, 24)
    fewer = with_sizes("tiny", "small")
    assert train_here(fewer, url).done == 48
    with open_store(url, create=False) as store:
        assert store.space("sized").words == {"size": ("tiny", "small")}
    for words in (
        ["small", "tiny"],
        ["tiny", "mini"],
        ["large", "tiny", "small"],
        ["tiny", "small", "large"],
    ):
        with pytest.raises(
            StoreError, match=r"another recipe \(ordered\.size = .* further words go at the end"
        ) as caught:
            train_here(with_sizes(*words), url)
        assert "\n" not in str(caught.value)
    changed = sized(space=SPEC["space"] | {"size": [0, 1, 2]})
    with pytest.raises(StoreError, match=r"another recipe \(ordered"):
        train_here(changed, url)
    report = train_here(with_sizes("tiny", "small", "medium", "large"), url)
    assert (report.done, report.new) == (96, 24)
    # a third choice is a further label
    more = SPEC["space"] | {
        "size": {"ordered": ["tiny", "small", "medium", "large"]},
        "activation": ["tanh", "relu"],
    }
    assert stored_plan(sized(space=more), url, 2) is not None
    assert train_here(sized(space=more), url).new == 0


def test_words_are_copied_and_merged(tmp_path: Path, url: str) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    train_here(with_sizes("tiny", "small"), url)
    train_here(with_sizes("tiny", "small", "medium"), other)
    with open_store(other, create=True) as source, open_store(url, create=True) as target:
        merge_study(source, target, "sized")
        assert target.space("sized").words == {"size": ("tiny", "small", "medium")}
        assert target.recipes("sized")["adam-relu"]["ordered"] == {"size": ["tiny", "small", "medium"]}
        assert len(target.trials("sized")) == 72
        with open_store(f"sqlite:///{tmp_path}/copy.db", create=True) as copied:
            copy_study(target, copied, "sized")
            assert copied.about("sized") == target.about("sized")
    third = f"sqlite:///{tmp_path}/third.db"
    train_here(with_sizes("tiny", "medium"), third)
    with (
        open_store(third, create=True) as source,
        open_store(url, create=True) as target,
        pytest.raises(StoreError, match=r"trained otherwise in the two databases \(ordered\.size"),
    ):
        merge_study(source, target, "sized")


def test_integers_and_floats_are_those_of_the_axis(tmp_path: Path, url: str) -> None:
    (tmp_path / "train.py").write_text(
        "import json, sys\nopen('log', 'a').write(' '.join(sys.argv[1:]) + '\\n')\nprint(json.dumps({'loss': 1}))\n"
    )
    command = f"{sys.executable} train.py {{depth}} {{lr}} {{size}} {{momentum}} {{batch}}"
    given = {
        "workload": {"command": command, "metric": "loss", "folder": "."},
        "optimizers": [{"name": "sgd", "momentum": 1.0, "batch": 64}],
        "space": {"depth": [1, 2], "lr": [0.5, 1], "size": {"ordered": ["two words", "{odd}"]}},
        "seeds": 1,
    }
    assert train_here(sized(**given), url).done == 8
    assert sorted((tmp_path / "log").read_text().splitlines()) == [
        f"{depth} {lr} {size} 1.0 64"
        for depth in (1, 2)
        for lr in (0.5, 1.0)
        for size in ("two words", "{odd}")
    ]
    grown = given | {"space": given["space"] | {"depth": [1, 2, 3]}}  # type: ignore[operator]
    assert train_here(sized(**grown), url).new == 4
    halves = given | {"space": given["space"] | {"depth": [0.5, 1, 2]}}  # type: ignore[operator]
    said = "sized has trials that were given depth as integers, and all would be floats with these: keep"
    with pytest.raises(StoreError, match=said):
        train_here(sized(**halves), url)
    with pytest.raises(StoreError, match="given lr as floats, and all would be integers"):
        tune(
            "sized",
            url,
            TuningSpec(tuners=("random",)),
            sized(**(given | {"space": given["space"] | {"lr": [1]}})),  # type: ignore[operator]
            on_progress=quiet,
        )


def test_a_choice_is_no_placeholder_that_is_missing(url: str) -> None:
    command = {"command": "ls {size} {activation} {kind}", "metric": "loss"}
    with pytest.raises(
        SpecError, match=r"placeholder \{kind\} .*: known are size, lr, activation, optimizer, seed"
    ):
        sized(workload=command)
    with pytest.raises(SpecError, match="no hyperparameter can be called 'seed'"):
        sized(space={"lr": [1, 2], "seed": ["a", "b"]})
