"""Seeds added until a verdict is decided, on a real local Ray cluster."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import known_landscapes as known
import numpy as np
import pytest
from trained_here import quiet

from analysis.landscape import landscape
from analysis.ridge import ridge
from storage.records import Trials
from storage.store import Store, open_store
from study.running.decide import stored_extra, until_cost_decided, until_decided
from study.running.forecast import STARTUP_SECONDS
from study.running.price import price
from study.running.run import declare, run
from study.spec import SpecError, parse_spec
from study.training.block import Block
from study.training.resolve import Study, load_study, resolve

Cli = Callable[..., tuple[int, str, str]]
STUDY = """
name = "small"
workload = { name = "digits-mlp", steps = 30 }
optimizers = ["adam", "avagrad"]
seeds = 2
[space]
alpha = { low = 1e-4, high = 1e2, num = 13, scale = "log" }
eps = { low = 1e-6, high = 1, num = 7, scale = "log" }
"""

RESERVE = known.landscape(known.valley(0.15, 0.3, 0.02), 0.35, 60, 8, asked=3).values


@pytest.fixture
def spec() -> Study:
    """Of a study whose verdict three seeds leave open, when its trials are those of `RESERVE`."""
    axis = {"low": 1e-5, "high": 1e5, "num": 21, "scale": "log"}
    return resolve(
        parse_spec(
            {
                "name": "known",
                "workload": "digits-mlp",
                "optimizers": ["sgd"],
                "seeds": 3,
                "space": {"lr": axis, "weight_decay": axis},
            }
        )
    )


@pytest.fixture
def store(tmp_path: Path, spec: Study) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/known.db", create=True) as store:
        declare(spec, store)
        for seed in range(3):
            keep(store, spec, seed, spec.spec.space.cells())
        yield store


def keep(store: Store, spec: Study, seed: int, cells: np.ndarray) -> None:
    places = tuple(spec.spec.space.value_to_index(cells).T)
    now = datetime.now(UTC)
    trials = Trials(
        hyperparameters={name: cells[:, i] for i, name in enumerate(spec.spec.space.names)},
        seed=seed,
        value=RESERVE[(seed, *places)],
        metrics={},
        curve_steps=np.array([1]),
        curve=np.zeros((len(cells), 1)),
        diverged_at=np.full(len(cells), -1),
        seconds=np.full(len(cells), 0.1),
        started=now,
        finished=now,
    )
    store.append(spec.name, "sgd", trials)


def cells_of(spec: Study, block: Block) -> np.ndarray:
    return np.stack([block.cells[name] for name in spec.spec.space.names], axis=1)


def test_rounds_end_when_the_verdict_is_given(store: Store, spec: Study) -> None:
    further, rounds = until_decided(spec, 100_000), 0
    while blocks := further(store, 2):
        assert {block.seed for block in blocks} <= set(range(3, 60))
        assert sum(block.lanes for block in blocks) < 0.8 * 441 * len({block.seed for block in blocks})
        for block in blocks:
            keep(store, spec, block.seed, cells_of(spec, block))
        rounds += 1
        assert rounds < 10
    assert rounds > 0
    values = landscape(store.trials("known", "sgd"), spec.spec.space, "validation_error").assign_attrs(
        asked_seeds=3
    )
    assert ridge(values).verdict == "coupled"
    assert stored_extra(spec, store) > 0


def test_a_killed_round_goes_on_with_what_it_lacks(store: Store, spec: Study) -> None:
    further = until_decided(spec, 100_000)
    first, *_ = blocks = further(store, 2)
    keep(store, spec, first.seed, cells_of(spec, first)[:5])
    again = further(store, 2)
    assert sum(block.lanes for block in again) == sum(block.lanes for block in blocks) - 5


def test_the_price_of_deciding_is_told_before(store: Store, spec: Study, tmp_path: Path) -> None:
    url, further = f"sqlite:///{tmp_path}/known.db", until_decided(spec, 100_000)
    blocks = further(store, 1)
    told = price(spec, url, "separability", 100_000, 1)
    assert (told.own, told.spent, told.most) == (0, 0, 100_000)
    assert told.step == sum(block.lanes for block in blocks)
    assert told.step_seconds is not None
    assert told.most_seconds is not None
    assert STARTUP_SECONDS < told.step_seconds < told.most_seconds
    keep(store, spec, blocks[0].seed, cells_of(spec, blocks[0]))
    again = price(spec, url, "separability", 100_000, 1)
    assert (again.spent, again.step) == (blocks[0].lanes, told.step - blocks[0].lanes)
    with pytest.raises(SpecError, match="one optimizer: there is no comparison"):
        price(spec, url, "cost", 1_000, 1)


def test_the_budget_counts_what_is_stored_and_whole_seeds_only(store: Store, spec: Study) -> None:
    blocks = until_decided(spec, 100_000)(store, 2)
    one_seed = sum(block.lanes for block in blocks if block.seed == 3)
    assert until_decided(spec, one_seed - 1)(store, 2) == []
    within = until_decided(spec, one_seed)(store, 2)
    assert {block.seed for block in within} == {3}
    for block in within:
        keep(store, spec, block.seed, cells_of(spec, block))
    assert until_decided(spec, one_seed)(store, 2) == []
    assert until_decided(spec, 100_000)(store, 2)


def test_one_axis_has_no_separability(spec: Study) -> None:
    one = spec.spec.model_dump(mode="json") | {"space": {"lr": [0.1, 1.0], "weight_decay": [0.0]}}
    with pytest.raises(SpecError, match="fewer than two axes with several values"):
        until_decided(resolve(parse_spec(one)), 10)


def test_seeds_are_added_in_the_cells_that_matter(tmp_path: Path, cli: Cli) -> None:
    path, url = tmp_path / "small.toml", f"sqlite:///{tmp_path}/t.db"
    path.write_text(STUDY)
    code, _, err = cli("run", path, "--budget", "60", "--storage", url)
    assert code == 2
    assert "--until-decided" in err
    assert cli("run", path, "--local", "--storage", url)[0] == 0
    code, out, err = cli("run", path, "--until-decided", "--budget", "200", "--storage", url)
    assert code == 0, err
    assert "small: 364 of 364 trials stored" in out
    told = re.search(r"seeds added for the verdict: (\d+) trials, (\d+) of them now, of at most 200", out)
    assert told
    assert told[1] == told[2]
    assert re.search(r"^adam: (coupled|decoupled|undecided)", out, re.MULTILINE)
    spec, extra = load_study(path), int(told[1])
    with open_store(url, create=False) as store:
        assert stored_extra(spec, store) == extra <= 200
        for optimizer in ("adam", "avagrad"):
            frame = store.trials("small", optimizer, where="seed >= 2")
            cells = frame.groupby("seed").size()
            assert (cells < 0.8 * spec.spec.space.size).all()
            assert sorted(cells.index) == list(range(2, 2 + len(cells)))
        assert until_decided(spec, extra)(store, 1) == []
    again = run(spec, url, further=until_decided(spec, extra), local=True, on_progress=quiet)
    assert (again.new, again.extra, again.done) == (0, 0, 364)
    code, out, _ = cli("separability", "small", "--format", "json", "--storage", url)
    assert code == 0
    assert '"seeds_to_decide"' in out


TUNED = """
name = "small"
workload = { name = "digits-mlp", steps = 30 }
optimizers = ["adam", "avagrad"]
seeds = 2
[space]
alpha = { low = 1e-4, high = 1e2, num = 7, scale = "log" }
eps = { low = 1e-6, high = 1, num = 4, scale = "log" }
[tuning]
tuners = ["random"]
trials = 20
replicates = 4
target = 0.02
"""


def test_seeds_are_added_until_it_is_decided_which_is_cheaper(tmp_path: Path, cli: Cli) -> None:
    path, url = tmp_path / "small.toml", f"sqlite:///{tmp_path}/t.db"
    path.write_text(TUNED)
    for arguments, message in (
        ((path, "--budget", "60"), "give both"),
        (("small", "--until-decided"), "give the study file"),
    ):
        code, _, err = cli("tune", *arguments, "--storage", url)
        assert (code, message in err) == (2, True)
    code, out, err = cli("tune", path, "--until-decided", "--budget", "60", "--local", "--storage", url)
    assert code == 0, err
    told = re.search(r"seeds added to compare: (\d+) trials, (\d+) of them now, of at most 60", out)
    assert told
    assert told[1] == told[2]
    extra, spec = int(told[1]), load_study(path)
    verdict = re.search(r"(cheaper|dearer|equal|undecided) +0\.\d+", out)
    assert verdict
    assert ("not decided" in out) == (verdict[1] == "undecided")
    with open_store(url, create=False) as store:
        assert stored_extra(spec, store) == extra <= 60
        assert until_cost_decided(spec, extra)(store, 1) == []
    code, out, _ = cli("tune", path, "--until-decided", "--budget", "60", "--local", "--storage", url)
    assert f"seeds added to compare: {extra} trials, 0 of them now" in out


def test_what_has_nothing_to_compare_is_refused(spec: Study) -> None:
    with pytest.raises(SpecError, match="has one optimizer: there is no comparison"):
        until_cost_decided(spec, 10)
    two = spec.spec.model_dump(mode="json") | {
        "seeds": 1,
        "optimizers": ["sgd", "adam"],
        "space": {"lr": [0.1, 1.0]},
    }
    with pytest.raises(SpecError, match="has one seed, which tells nothing of the noise"):
        until_cost_decided(resolve(parse_spec(two)), 10)
