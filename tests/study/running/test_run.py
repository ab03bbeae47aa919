"""Studies on a real local Ray cluster: exactly once, resumable, and honest about what failed."""

import itertools
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import psutil
import pytest
import torch
from patience import PATIENCE, wait_until
from trained_here import quiet, train_here

from storage.attributes import PROVENANCE, find_attribute, set_attributes
from storage.schema import LEASES_TABLE, OWN_TABLE
from storage.store import StoreError, open_store
from study.running import local
from study.running.address import LaunchError
from study.running.choices import METHODS, with_untimed
from study.running.drive import trials_of
from study.running.launch import blocks as launch
from study.running.plan import cut, lanes_per_program, plan, stored_plan
from study.running.provenance import provenance
from study.running.run import declare as run_declare
from study.running.run import run, staggered
from study.spec import parse_spec
from study.training.block import Block, Outcome, Recipe
from study.training.resolve import Study, load_study, resolve
from study.training.trainer import Trainer

TRIALS = 48
SLOW = {"steps": 300, "lanes": 2}


WriteStudy = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, err
    return out + err


def contents(
    database: Path, study: str = "small", optimizers: tuple[str, ...] = ("adam", "avagrad")
) -> pd.DataFrame:
    """Everything about the trials but when they ran: one row a trial, its curve as a tuple."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{database}")
    rows = []
    for optimizer in optimizers:
        for trial in optuna.load_study(study_name=f"{study}/{optimizer}", storage=storage).trials:
            attributes = {k: v for k, v in trial.user_attrs.items() if k != "seconds"}
            curve = tuple(trial.intermediate_values.items())
            rows.append(
                {"optimizer": optimizer, "state": trial.state.name, "value": trial.value, "curve": curve}
                | trial.params
                | attributes
            )
    storage.engine.dispose()
    return pd.DataFrame(rows).sort_values(["optimizer", "seed", "alpha", "eps"], ignore_index=True)


def wait_for_trials(database: Path, at_least: int) -> None:
    def arrived() -> bool:
        if not database.exists():
            return False
        with open_store(f"sqlite:///{database}", create=False) as store:
            return bool(store.studies()["trials"].sum() >= at_least)

    wait_until(arrived)


def children(process: subprocess.Popen[str], name: str) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children(recursive=True) if name in child.name()]


def test_a_study_through_ray_is_readable_by_plain_optuna(
    tmp_path: Path, write_study: WriteStudy, start: Start
) -> None:
    database = tmp_path / "t.db"
    report = finish(start("run", write_study(), "--storage", f"sqlite:///{database}"))
    assert f"{TRIALS} of {TRIALS} trials stored" in report
    assert "best cell" in report
    assert "tunability plot landscape small" in report
    table = contents(database)
    assert len(table) == TRIALS
    assert not table.duplicated(["optimizer", "alpha", "eps", "seed"]).any()
    assert set(table["state"]) == {"COMPLETE"}
    assert table["value"].between(0, 1).all()
    assert all(
        len(curve) == 20 and curve[-1] == (20, value)
        for curve, value in zip(table.curve, table.value, strict=True)
    )
    study = optuna.load_study(study_name="small/adam", storage=f"sqlite:///{database}")
    assert study.best_value == table.loc[table.optimizer == "adam", "value"].min()
    (provenance,) = study.user_attrs["tunability:provenance"]
    assert provenance["packages"]["torch"].startswith("2.")
    assert provenance["seeds"] == [0, 1]
    assert provenance[METHODS]["adam"] == {
        "method": "fused",
        "compile": False,
        "lanes": 43,
        "seconds": None,
        "note": "",
    }
    recipe = study.user_attrs["tunability:recipe"]
    assert len(recipe["data_sha256"]) == 64
    assert (recipe["method"], recipe["compile"], recipe["lanes"]) == ("fused", False, 4)
    assert recipe["settings"]["beta2"] == 0.999  # a default
    # again: nothing to do, nothing changed
    assert f"{TRIALS} of {TRIALS} trials stored\n" in finish(
        start("run", tmp_path / "small.toml", "--storage", f"sqlite:///{database}")
    )
    pd.testing.assert_frame_equal(contents(database), table)


def test_killed_and_resumed_is_as_if_undisturbed(
    tmp_path: Path, write_study: WriteStudy, start: Start
) -> None:
    spec = write_study(**SLOW)
    killed, undisturbed = tmp_path / "killed.db", tmp_path / "undisturbed.db"
    process = start("run", spec, "--storage", f"sqlite:///{killed}")
    wait_for_trials(killed, 8)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    before = contents(killed)
    assert 8 <= len(before) < TRIALS
    assert set(before["state"]) == {"COMPLETE"}
    assert len(before) % 2 == 0, "half a block was stored"
    finish(start("run", spec, "--storage", f"sqlite:///{killed}"))
    train_here(load_study(spec), f"sqlite:///{undisturbed}")
    pd.testing.assert_frame_equal(contents(killed), contents(undisturbed))


@pytest.mark.slow
def test_grown_in_every_direction_is_as_if_made_at_once(
    tmp_path: Path, write_study: WriteStudy, start: Start
) -> None:
    """Seeds, values and an optimizer are added, by two drivers at once, one of them killed."""
    whole, grown, at_once = write_study(**SLOW), tmp_path / "grown.db", tmp_path / "once.db"
    text = whole.read_text()
    part, more = tmp_path / "part.toml", tmp_path / "more.toml"
    part.write_text(
        text.replace('["adam", "avagrad"]', '["adam"]')
        .replace("seeds = 2", "seeds = 1")
        .replace("[0.001, 0.01, 0.1, 1]", "[0.01, 1]")
    )
    more.write_text(text.replace('["adam", "avagrad"]', '["avagrad"]').replace("seeds = 2", "seeds = 1"))
    train_here(load_study(part), f"sqlite:///{grown}")
    before = contents(grown, optimizers=("adam",))
    assert len(before) == 6
    drivers = [start("run", file, "--storage", f"sqlite:///{grown}") for file in (whole, more)]
    wait_for_trials(grown, 16)
    drivers[0].send_signal(signal.SIGKILL)
    drivers[0].communicate(timeout=PATIENCE)
    finish(drivers[1])
    # what the second driver's file names is shown; nothing is lost
    out = finish(start("run", whole, "--local", "--storage", f"sqlite:///{grown}"))
    assert f"{TRIALS} of {TRIALS} trials stored" in out
    train_here(load_study(whole), f"sqlite:///{at_once}")
    pd.testing.assert_frame_equal(contents(grown), contents(at_once))
    # with less, less is shown
    out = finish(start("run", part, "--storage", f"sqlite:///{grown}"))
    assert "6 of 6 trials stored\n" in out
    with open_store(f"sqlite:///{grown}", create=False) as store:
        assert (store.optimizers("small"), store.space("small").shape) == (["adam"], (2, 3))
        assert store.studies()["trials"].tolist() == [24, 24]
        made = store.provenances("small", "adam")
        assert sum(each["trials"] for each in made) == 24
        assert made[0]["trials"] == 6


def test_the_same_optimizer_twice_under_labels(tmp_path: Path, write_study: WriteStudy) -> None:
    labelled = '"adam", { name = "adam", label = "adam-slow", beta1 = 0.99 }'
    study = load_study(write_study(old='"adam", "avagrad"', new=labelled))
    url = f"sqlite:///{tmp_path}/t.db"
    assert train_here(study, url).done == TRIALS
    with open_store(url, create=False) as store:
        assert store.optimizers("small") == ["adam", "adam-slow"]
        settings = {name: recipe["settings"]["beta1"] for name, recipe in store.recipes("small").items()}
        assert settings == {"adam": 0.9, "adam-slow": 0.99}
        one, other = (store.trials("small", name)["validation_error"] for name in settings)
        assert not one.equals(other)


def test_trials_of_other_versions_are_told_and_refused_when_strict(
    tmp_path: Path, write_study: WriteStudy
) -> None:
    study = load_study(write_study())
    declare(study, url := f"sqlite:///{tmp_path}/t.db")
    train_one_block(study, url)
    with open_store(url, create=True) as store, store.database.writing() as connection:
        for study_id in (1, 2):
            tables = store.database.tables
            made = find_attribute(connection, tables, study_id, PROVENANCE)
            made[0]["packages"]["torch"] = "1.0"
            set_attributes(connection, tables, study_id, {PROVENANCE: made})
        assert connection.execute(tables[OWN_TABLE].update().values(launch=0)).rowcount == 4
    message = (
        r"4 trials of small/adam \(launch 0\) were made with torch 1.0 \(here .*\): last bits may differ"
    )
    with pytest.raises(StoreError, match=message):
        run(study, url, strict=True, on_progress=quiet)
    report = train_here(study, url)
    assert report.done == TRIALS
    assert any(re.match(message, warning) for warning in report.warnings)


def test_two_drivers_on_one_study(tmp_path: Path, write_study: WriteStudy, start: Start) -> None:
    """Each trains what the other does not, also where it started later."""
    spec, database = write_study(**SLOW), tmp_path / "t.db"
    drivers = [start("run", spec, "--local", "--storage", f"sqlite:///{database}") for _ in range(2)]
    new = 0
    for driver in drivers:
        said = finish(driver)
        found = re.search(f"{TRIALS} of {TRIALS} trials stored, (\\d+) of them now", said)
        assert found, said
        assert 0 < int(found[1]) < TRIALS
        new += int(found[1])
    assert new == TRIALS
    table = contents(database)
    assert len(table) == TRIALS
    assert not table.duplicated(["optimizer", "alpha", "eps", "seed"]).any()
    with open_store(f"sqlite:///{database}", create=False) as store, store.database.reading() as connection:
        assert not connection.execute(store.database.tables[LEASES_TABLE].select()).all()


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_ctrl_c_and_termination_stop_cleanly(
    tmp_path: Path, write_study: WriteStudy, start: Start, how: signal.Signals
) -> None:
    database = tmp_path / "t.db"
    process = start("run", write_study(**SLOW), "--storage", f"sqlite:///{database}")
    wait_for_trials(database, 4)
    workers = children(process, "ray::")
    assert workers
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    text = finish(process, code=130)
    assert "stopped: the same command trains the rest" in text
    assert "Traceback" not in text
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    assert set(contents(database)["state"]) == {"COMPLETE"}


def test_termination_stops_a_run_in_this_process_cleanly(
    tmp_path: Path, write_study: WriteStudy, start: Start
) -> None:
    database = tmp_path / "t.db"
    process = start("run", write_study(**SLOW), "--storage", f"sqlite:///{database}", "--local")
    wait_for_trials(database, 4)
    process.terminate()
    text = finish(process, code=130)
    assert "stopped: the same command trains the rest" in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_a_dead_worker_is_replaced(tmp_path: Path, write_study: WriteStudy, start: Start) -> None:
    database = tmp_path / "t.db"
    process = start("run", write_study(**SLOW), "--storage", f"sqlite:///{database}")
    wait_for_trials(database, 4)
    children(process, "ray::Resource")[0].kill()
    assert f"{TRIALS} of {TRIALS} trials stored" in finish(process)
    assert len(contents(database)) == TRIALS


@pytest.mark.slow
def test_a_dead_cluster_ends_the_run_in_a_line(tmp_path: Path, write_study: WriteStudy, start: Start) -> None:
    """Ray itself would wait for its raylet for ever."""
    spec, database = write_study(**SLOW), tmp_path / "t.db"
    process = start("run", spec, "--storage", f"sqlite:///{database}")
    wait_for_trials(database, 4)
    (raylet,) = children(process, "raylet")
    raylet.kill()
    killed = time.monotonic()
    said = finish(process, code=2)
    assert time.monotonic() - killed < 60
    assert "error: Ray's raylet on this machine died: what is stored stays, the same command goes on" in said
    assert "Traceback" not in said
    assert set(contents(database)["state"]) == {"COMPLETE"}
    assert train_here(load_study(spec), f"sqlite:///{database}").done == TRIALS


def test_a_running_cluster(tmp_path: Path, write_study: WriteStudy, start: Start, ray_head: Any) -> None:
    database = f"sqlite:///{tmp_path}/t.db"
    run = start("run", write_study(), "--storage", database, "--address", ray_head.address)
    assert f"{TRIALS} of {TRIALS} trials stored" in finish(run)
    assert ray_head.process.poll() is None, "joining a cluster must not end it"


def full(block: Block, outcome: Outcome) -> None:
    raise StoreError("the disk is full")


def test_a_block_that_fails_for_good_is_reported_and_the_rest_goes_on() -> None:
    good = [
        Block(Recipe("digits-mlp", "adam", steps=20, compile=False), seed, {"lr": np.array([0.01, 0.1])})
        for seed in range(3)
    ]
    bad = Block(Recipe("digits-mlp", "adam", steps=20, compile=False), 7, {"lr": np.array([-1.0])})
    outcomes: dict[int, Outcome] = {}
    failures: list[tuple[int, str]] = []
    with launch.cluster(None) as workers:
        assert workers >= 1
        launch.train_blocks(
            [good[0], bad, *good[1:]],
            workers,
            "cpu",
            on_outcome=lambda block, outcome: outcomes.setdefault(block.seed, outcome) and None,
            on_failure=lambda block, error: failures.append((block.seed, error.headline)),
        )
        with pytest.raises(StoreError, match="the disk is full"):  # not as Ray Tune's own error
            launch.train_blocks(good, workers, "cpu", on_outcome=full, on_failure=print)
    assert sorted(outcomes) == [0, 1, 2]
    ((seed, error),) = failures
    assert seed == 7
    assert error == "ValueError: lr = -1.0 is not allowed: give a number of at least 0"

    # in this process just so
    here: dict[int, Outcome] = {}
    local.train_blocks(
        [good[0], bad, *good[1:]],
        1,
        "cpu",
        on_outcome=lambda block, outcome: here.setdefault(block.seed, outcome) and None,
        on_failure=lambda block, error: failures.append((block.seed, error.headline)),
    )
    assert failures == [(7, error)] * 2
    assert sorted(here) == [0, 1, 2]
    for seed, outcome in here.items():
        np.testing.assert_array_equal(outcome.curve, outcomes[seed].curve)


def declare(spec: Study, url: str, **changed: object) -> None:
    with open_store(url, create=True) as store:
        spec = with_untimed(spec)
        recipes = {key: recipe | changed for key, recipe in spec.identities().items()}
        store.declare(
            spec.name,
            recipes,
            space=spec.spec.space,
            metric="m",
            spec=spec.extent(),
            provenance=provenance(spec),
        )


def small(**changes: object) -> Study:
    given = {
        "name": "small",
        "workload": "digits-mlp",
        "optimizers": ["adam"],
        "space": "avagrad-cifar",
        "seeds": 3,
    }
    return resolve(parse_spec(given | changes))


@pytest.mark.parametrize("workers", [1, 2, 7, 64])
@pytest.mark.parametrize("workload", ["digits-mlp", "digits-cnn-bn", "mnist-mlp"])
def test_a_plan_covers_every_trial_once(workers: int, workload: str) -> None:
    spec = small(workload=workload)
    todo = plan(spec, None, workers)
    trials = list(
        itertools.chain.from_iterable(
            zip(itertools.repeat(b.seed), b.hyperparameters["lr"], b.hyperparameters["eps"])
            for b in todo.blocks
        )
    )
    assert len(trials) == len(set(trials)) == 441 * 3
    assert max(block.width for block in todo.blocks) <= 63
    assert len(todo.blocks) >= min(workers, 3)


def lanes_of(spec: Study, workers: int) -> int:
    return lanes_per_program(with_untimed(spec), spec.optimizers[0], workers)


def test_different_optimizers_come_first(write_study: WriteStudy) -> None:
    blocks = plan(load_study(write_study()), None, 1).blocks
    names = [block.optimizer for block in blocks]
    several = dict.fromkeys(names)
    assert names[: len(several)] != list(several)
    ahead = staggered(blocks, 2)
    assert [block.optimizer for block in ahead[:2]] == list(several)[:2]
    assert sorted(map(id, ahead)) == sorted(map(id, blocks))
    assert list(staggered(blocks, 1)) == list(blocks)


def test_lanes_fit_the_cache_and_divide_the_grid() -> None:
    assert lanes_of(small(), 2) == 41
    assert lanes_of(small(workload="mnist-cnn-bn"), 2) < lanes_of(small(workload="digits-cnn"), 2) < 63
    assert lanes_of(small(dtype="float64"), 2) < 63
    assert lanes_of(small(lanes=5), 2) == 5
    assert lanes_of(small(lanes=5000), 2) == 441
    assert lanes_of(small(optimizers=["adashift"]), 2) < 32  # remembers ten gradients
    assert lanes_of(small(optimizers=["torch.optim:Adam"]), 2) == 8
    assert lanes_of(small(), 200) == 7  # rather small blocks than idle workers


def test_blocks_of_several_programs_leave_enough_for_every_worker() -> None:
    def shape(workers: int, **changes: object) -> tuple[int, int]:
        blocks = plan(small(**changes), None, workers).blocks
        return len(blocks), max(block.lanes // block.width for block in blocks)

    assert shape(2) == (12, 3)
    assert shape(2, seeds=9) == (18, 6)
    assert shape(8)[1] == 1
    few = with_untimed(small(seeds=9))
    parts = list(cut(few, few.optimizers[0], 2, 0, np.arange(100)))  # what is left of a seed is shared
    assert [(block.lanes, block.width) for block in parts] == [(82, 41), (18, 41)]
    assert shape(2, lanes=41)[1] == 1
    assert shape(2, seeds=9, workload={"name": "digits-mlp", "steps": 40_000})[1] == 1  # minutes of a core
    assert shape(2, seeds=9, optimizers=["torch.optim:Adam"])[1] == 1


def train_one_block(spec: Study, url: str) -> None:
    with open_store(url, create=True) as store:
        block = plan(spec, store, 1).blocks[0]
        trials = trials_of(spec, block, Trainer(block.lanes).train(block))
        store.append(spec.name, block.optimizer, trials)


def test_another_spec_under_the_same_name_is_refused(tmp_path: Path, write_study: WriteStudy) -> None:
    spec = load_study(write_study())
    declare(spec, url := f"sqlite:///{tmp_path}/t.db")
    changed = load_study(write_study(old="steps = 20", new="steps = 21"))
    free = stored_plan(changed, url, 1)  # without trials the name is free
    assert free is not None
    assert (free.trials, free.stored) == (TRIALS, 0)
    train_one_block(spec, url)
    with pytest.raises(StoreError, match=r"another recipe \(steps = 20 there, 21 here\)"):
        run(changed, url, on_progress=quiet)


def test_other_data_under_the_same_name_is_refused(tmp_path: Path, write_study: WriteStudy) -> None:
    spec = load_study(write_study())
    declare(spec, url := f"sqlite:///{tmp_path}/t.db", data_sha256="0" * 64)
    train_one_block(spec, url)
    with pytest.raises(StoreError, match=r"another recipe \(data_sha256 = .0000"):
        run(spec, url, on_progress=quiet)


def test_an_optimizer_deleted_through_optuna_is_trained_again(
    tmp_path: Path, write_study: WriteStudy
) -> None:
    spec = load_study(write_study())
    declare(spec, url := f"sqlite:///{tmp_path}/t.db")
    optuna.delete_study(study_name="small/adam", storage=url)
    todo = stored_plan(spec, url, 1)
    assert todo is not None
    assert todo.trials == TRIALS


def test_a_device_the_cluster_lacks_is_refused_before_anything_is_written(
    tmp_path: Path, write_study: WriteStudy
) -> None:
    spec = load_study(write_study(old="seeds = 2", new='seeds = 2\ndevice = "cuda"'))
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(LaunchError, match="no machine of the cluster has what a trial needs: CPU 1, GPU 1"):
        run(spec, f"sqlite:///{tmp_path}/t.db", on_progress=quiet)
    assert not (tmp_path / "t.db").exists()


@pytest.mark.slow
def test_two_compiled_runs_give_the_same_bits(
    tmp_path: Path, write_study: WriteStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process and through Ray, where workers find in the compiler's cache what another process compiled."""
    monkeypatch.setattr("study.training.choose.COMPILE_FLOPS", 0)
    spec = load_study(write_study(lanes=6, old='"adam", "avagrad"', new='"adam"'))
    tables = []
    for name, here in (("one", True), ("two", False)):
        report = run(spec, f"sqlite:///{tmp_path}/{name}.db", local=here, on_progress=quiet)
        assert (report.done, report.warnings, report.failures) == (TRIALS // 2, set(), [])
        tables.append(contents(tmp_path / f"{name}.db", optimizers=("adam",)))
    pd.testing.assert_frame_equal(*tables)
    compiled = Trainer(6).train(plan(spec, None, 1).blocks[0])
    first = tables[0][tables[0].seed == 0].head(6)
    assert first["value"].tolist() == compiled.metrics["validation_error"].tolist()


OWN_RULE = """
import study.optimizers.sgd as sgd
from study.optimizers import Rule

def update(grads, state, params, hyperparameters, step, options):
    return sgd.update(grads, state, params, hyperparameters, step, options)

RULE = Rule(sgd.init, update, sgd.ARGUMENTS)
"""


def test_a_module_may_change_until_the_first_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (module := tmp_path / "until_then.py").write_text(OWN_RULE)
    monkeypatch.syspath_prepend(tmp_path)
    spec = small(optimizers=["until_then:RULE"], space={"alpha": [0.1, 0.2]}, seeds=1)
    with open_store(url := f"sqlite:///{tmp_path}/t.db", create=True) as store:
        run_declare(spec, store)
        first = store.recipes(spec.name)["until_then:RULE"]["sources"]
        module.write_text(OWN_RULE + "# a comment\n")
        todo = stored_plan(spec, url, 1)
        assert todo is not None
        assert todo.trials == 2
        run_declare(spec, store)
        assert store.recipes(spec.name)["until_then:RULE"]["sources"] != first
    train_one_block(spec, url)
    module.write_text(OWN_RULE)
    with pytest.raises(StoreError, match=r"another recipe .sources.until_then:RULE = "):
        stored_plan(spec, url, 1)
