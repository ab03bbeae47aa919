"""A cluster that starts while torch is imported: when it does, who takes it, and that it ends."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trained_here import train_here

from study.running.address import LaunchError
from study.running.children import CLUSTER_PROCESSES, Children
from study.running.early import early_cluster, will_need_one
from study.running.launch.cluster import Beginning, cluster
from study.spec import parse_spec
from study.training import resolve

import ray  # isort: skip  # after study.running.launch, which sets its switches

SPEC: dict[str, Any] = {
    "name": "small",
    "workload": {"name": "digits-mlp", "steps": 20},
    "optimizers": ["adam"],
    "space": {"alpha": [0.01, 0.1]},
    "seeds": 1,
}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    assert not ray.is_initialized()
    yield f"sqlite:///{tmp_path}/t.db"
    assert not ray.is_initialized(), "a cluster is left running"
    assert not Children(CLUSTER_PROCESSES)


def test_whoever_asks_first_takes_it(url: str) -> None:
    with early_cluster(parse_spec(SPEC), url):
        begun = Beginning._current
        assert begun is not None
        with early_cluster(parse_spec(SPEC), url):  # one is enough
            assert Beginning._current is begun
        with cluster(None) as workers:
            assert workers >= 1
            assert Beginning.take() is None
            (first,) = ray.nodes()
            assert first["Alive"]
            with early_cluster(parse_spec(SPEC), url):
                assert Beginning.take() is None
        assert not ray.is_initialized()
        begun.wait()  # it was that one
        with cluster(None):  # the next one starts its own
            (second,) = ray.nodes()
        assert first["NodeID"] != second["NodeID"]


def test_nobody_took_it(url: str) -> None:
    def refuse() -> None:
        with early_cluster(parse_spec(SPEC), url):
            assert Beginning._current
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        refuse()
    assert Beginning.take() is None


def test_where_it_cannot_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as it is without: in a line, by whoever asks for a cluster."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no room\nat all")

    monkeypatch.setattr(ray, "init", fail)
    with (
        early_cluster(parse_spec(SPEC), url),
        pytest.raises(LaunchError, match="no room"),
        cluster(None),
    ):
        pass


def test_a_process_that_leaves_it_behind_ends_at_once() -> None:
    """As a second Ctrl-C does; nothing waits for a cluster that is being torn down, which takes a minute."""
    code = (
        "from study.running.launch.cluster import Beginning; Beginning.begin(); print('ending', flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ending\n"
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, said) == (0, "")


def changed(**changes: Any) -> Any:
    return parse_spec(copy.deepcopy(SPEC) | changes)


def test_only_for_known_names_and_missing_trials(url: str) -> None:
    assert will_need_one(changed(), url)
    assert not will_need_one(changed(optimizers=["adam", "torch.optim:SGD"]), url)
    assert not will_need_one(changed(workload={"name": "mine:workload", "steps": 20}), url)
    assert not will_need_one(changed(workload={"command": "train {alpha}", "metric": "loss"}), url)
    train_here(resolve.resolve(parse_spec(SPEC)), url)
    assert not will_need_one(changed(), url)
    assert will_need_one(changed(seeds=2), url)
