"""A user's function in a process of its own: what it may give, and that it fails alone."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from study.black_boxes import Function, TrialError
from study.spec import BlackBoxSpec

MODULE = """
import os, subprocess, sys, time

def number(hyperparameters, optimizer, seed):
    assert type(hyperparameters["depth"]) is int and optimizer == "mine"
    return hyperparameters["lr"] * seed

def metrics(h, o, s):
    class Scalar:
        def __float__(self):
            return 2.5
    return {"loss": Scalar(), "accuracy": 1, "name": "left out", "flag": True}

def curve(h, o, s):
    for step in (10, 20, 30):
        yield step, {"loss": 1 / step, "accuracy": step}

def reports(h, o, s, report, resources):
    assert resources["cpu"] == 2
    report(1, 5)
    report(2, {"loss": 4.0})

def further(h, o, s, *, checkpoints=None, other=3):
    return 0.0 if checkpoints else 1.0

def counts(h, o, s):
    counts.calls = getattr(counts, "calls", 0) + 1
    return counts.calls

def prints(h, o, s):
    print("said")
    os.write(1, b'{"loss": 3}\\n')
    return 1.0

def raises(h, o, s):
    print("before")
    raise KeyError("no such\\nthing")

def exits(h, o, s):
    sys.exit("enough")

def dies(h, o, s):
    print("last words")
    os._exit(5)

def text(h, o, s): return "0.5"
def nothing(h, o, s): pass
def yields_nothing(h, o, s): yield from ()
def yields_numbers(h, o, s): yield 0.5
def yields_texts(h, o, s): yield "a", 0.5
def negative_step(h, o, s): yield -1, 0.5
def other_metric(h, o, s): return {"accuracy": 1.0}
def an_array(h, o, s): return [1.0, 2.0]

def sleeps(h, o, s):
    subprocess.Popen(["sleep", "4711.25"])
    open("ready", "w").close()
    time.sleep(1000)
"""


@pytest.fixture
def function(tmp_path: Path) -> Iterator[Callable[..., Function]]:
    (tmp_path / "somebodys.py").write_text(MODULE)
    made = []

    def make(name: str, **given: Any) -> Function:
        spec = BlackBoxSpec(function=f"somebodys:{name}", metric="loss", **given)
        made.append(Function(spec, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.end()


@contextmanager
def failing(reason: str, lines: str = "") -> Iterator[None]:
    with pytest.raises(TrialError) as caught:
        yield
    assert reason in caught.value.reason
    assert "\n" not in caught.value.reason
    assert lines in caught.value.lines


@pytest.mark.parametrize(
    ("name", "metrics", "curve"),
    [
        ("number", {"loss": 3.5}, {}),
        ("metrics", {"loss": 2.5, "accuracy": 1.0}, {}),
        ("curve", {"loss": 1 / 30, "accuracy": 30.0}, {10: 0.1, 20: 0.05, 30: 1 / 30}),
        ("reports", {"loss": 4.0}, {1: 5.0, 2: 4.0}),
        ("prints", {"loss": 1.0}, {}),
    ],
)
def test_what_it_may_give(
    function: Any, arguments: dict[str, Any], name: str, metrics: dict[str, float], curve: dict[int, float]
) -> None:
    results = function(name).run(arguments)
    assert results.metrics == metrics
    assert results.curve == curve
    assert results.diverged_at() == -1


def test_the_process_stays_for_the_next_trial(function: Any, arguments: dict[str, Any]) -> None:
    counts = function("counts")
    assert [counts.run(arguments).metrics["loss"] for _ in range(3)] == [1, 2, 3]
    started = time.perf_counter()
    for _ in range(200):
        counts.run(arguments)
    assert time.perf_counter() - started < 200 * 0.02


@pytest.mark.parametrize(
    ("name", "reason", "lines"),
    [
        ("raises", "KeyError: 'no such\\nthing'", "before\nTraceback"),
        ("exits", "SystemExit: enough", ""),
        (
            "text",
            "what the function gives is '0.5' (str): return a number or a dict of metrics, or yield",
            "",
        ),
        ("nothing", "the function gives nothing: return a number", ""),
        ("yields_nothing", "the function gives nothing", ""),
        ("yields_numbers", "the function yields 0.5 (float): return", ""),
        ("yields_texts", "the step is 'a' (str): give a whole number", ""),
        ("negative_step", "step = -1 is not allowed: give a whole number from 0", ""),
        ("other_metric", "the metric 'loss' is missing: the function gives accuracy", ""),
        ("an_array", "what the function gives is [1.0, 2.0] (list)", ""),
        ("dies", "it ended with exit code 5", "last words"),
        ("missing", "has no attribute 'missing'", ""),
    ],
)
def test_what_fails_a_trial_fails_it_alone(
    function: Any, arguments: dict[str, Any], name: str, reason: str, lines: str
) -> None:
    runs = function(name)
    for _ in range(2):
        with failing(reason, lines):
            runs.run(arguments)


def test_a_timeout_ends_all_that_it_started(
    function: Any, arguments: dict[str, Any], nobody_left: Any
) -> None:
    with failing("it took longer than timeout = 1.5 seconds"):
        function("sleeps", timeout=1.5).run(arguments)
    assert nobody_left("4711.25")


def test_killed_with_its_worker(
    tmp_path: Path, function: Any, killed_in_mid_trial: Any, nobody_left: Any
) -> None:
    function("sleeps")  # writes the module
    killed_in_mid_trial(
        "from pathlib import Path; from study.black_boxes import Function; from study.spec import BlackBoxSpec\n"
        "spec = BlackBoxSpec(function='somebodys:sleeps', metric='loss')\n"
        "Function(spec, Path.cwd()).run({'hyperparameters': {}, 'optimizer': '', 'seed': 0, 'resources': {}})"
    )
    assert nobody_left("4711.25")
    assert nobody_left("somebodys:sleeps")


def test_nan_and_infinity_are_divergence(tmp_path: Path, arguments: dict[str, Any]) -> None:
    (tmp_path / "diverging.py").write_text(
        "def curve(h, o, s):\n"
        "    yield from [(1, 1.0), (2, float('nan')), (3, 2.0), (4, float('inf')), (5, float('nan'))]\n"
        "def alone(h, o, s): return float('inf')\n"
    )
    for name, at in [("curve", 4), ("alone", 0)]:
        runs = Function(BlackBoxSpec(function=f"diverging:{name}", metric="loss"), tmp_path)
        assert runs.run(arguments).diverged_at() == at
        runs.end()
