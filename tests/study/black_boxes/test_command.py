"""A user's command: what it prints is its result, and it ends with everything that it started."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.black_boxes import Command, TrialError
from study.black_boxes.box import MOST_POINTS
from study.black_boxes.command import Reader
from study.spec import BlackBoxSpec

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a Python script as a command, in folders under `made`."""
    made = tmp_path / "made"
    made.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(made))

    def run(script: str, words: str = "{lr} {depth} {seed}", **given: Any) -> Any:
        (tmp_path / "train.py").write_text(f"import json, os, sys, time\n{script}")
        spec = BlackBoxSpec(command=f"{sys.executable} train.py {words}", metric="loss", **given)
        return Command(spec, tmp_path).run(arguments)

    return run


def test_what_it_prints_is_its_result(run: Run, tmp_path: Path) -> None:
    results = run(
        "print('starting', sys.argv[1:])\n"
        "for step in (1, 2): print(json.dumps({'step': step, 'loss': 1 / step, 'lr': 3}))\n"
        'print(\'{"step": 3, "accuracy": 1}\')\n'
        'print(\'{"step": 4, "loss": NaN}\')\n'
        "print('{broken', '}', '[1]', '{\"a\": }', sep='\\n')\n"
        "print('{\"loss\": 9}', file=sys.stderr)\n"
        "print(' ' + json.dumps({'loss': float(sys.argv[1]), 'depth': int(sys.argv[2]), 'name': 'n'}), end='')"
    )
    assert results.metrics == {"loss": 0.5, "depth": 3.0}
    assert list(results.curve) == [1, 2, 4]
    assert results.diverged_at() == -1
    assert not list((tmp_path / "made").iterdir())


def test_what_it_has_told_so_far_is_that_of_its_last_point() -> None:
    reader = Reader("loss")
    assert reader.feed(b'{"step": 1, "loss": 2, "accuracy": 0.5}\n{"event": "saved"}\n')
    assert reader.results.metrics == {}
    assert reader.results.so_far().metrics == {"loss": 2.0, "accuracy": 0.5}
    assert reader.results.so_far().diverged_at() == -1
    assert not reader.feed(b'{"step": 2, "accuracy": 0.6}\n')


def test_words_placeholders_environment_and_folder(run: Run, tmp_path: Path) -> None:
    script = (
        "print(json.dumps({'loss': 1.0})); "
        "json.dump([sys.argv[1:], os.getcwd(), os.environ['MINE']], open(sys.argv[-1], 'w'))"
    )
    told = tmp_path / "told.json"
    own, words = tmp_path / "own", f"--lr={{lr}} 'a  {{{{b}}}} {{optimizer}}' {{folder}} {told}"
    own.mkdir()
    (own / "train.py").symlink_to(tmp_path / "train.py")
    run(script, words, environment={"MINE": "a $HOME"}, folder="own")
    assert json.loads(told.read_text()) == [
        ["--lr=0.5", "a  {b} mine", str(own), str(told)],
        str(own),
        "a $HOME",
    ]
    run(script, words, environment={"MINE": "1"})
    assert Path(json.loads(told.read_text())[1]).parent == tmp_path / "made"


@pytest.mark.parametrize(
    ("script", "reason", "lines"),
    [
        ("print('said'); sys.exit(3)", "it ended with exit code 3", "said"),
        ("os.abort()", "it was ended by SIGABRT", ""),
        ("print('{')", 'it printed no JSON object: let a line such as {"loss": 0.5} be its last', "{"),
        ("print('{\"loss\": 1}'); print('{\"done\": 1}')", "has no number 'loss': it has done", ""),
        ('print(\'{"loss": "low"}\')', "has no number 'loss': it has no number", ""),
        ('print(\'{"loss": 1, "step": -3}\')', "step = -3.0 is not allowed: give a whole number", ""),
        ("raise ValueError('wrong')", "it ended with exit code 1", "ValueError: wrong"),
    ],
)
def test_what_fails_a_trial_keeps_its_folder(
    run: Run, tmp_path: Path, script: str, reason: str, lines: str
) -> None:
    with pytest.raises(TrialError) as caught:
        run(f"open('left', 'w').close()\n{script}")
    assert reason in caught.value.reason
    assert lines in caught.value.lines
    (folder,) = (tmp_path / "made").iterdir()
    assert folder == caught.value.folder
    assert (folder / "left").exists()
    assert str(folder) in str(caught.value).splitlines()[0]


def test_a_program_that_is_not_there(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(TrialError, match=r"nosuchprogram cannot be started \(.*No such file"):
        Command(BlackBoxSpec(command="nosuchprogram", metric="loss", folder="."), tmp_path).run(arguments)
    with pytest.raises(TrialError, match="cannot be started"):
        Command(BlackBoxSpec(command="ls", metric="loss", folder="nowhere"), tmp_path).run(arguments)


def test_one_that_ignores_signals_and_leaves_children_behind(run: Run, nobody_left: Any) -> None:
    script = (
        "import signal, subprocess\n"
        "for each in (signal.SIGINT, signal.SIGTERM): signal.signal(each, signal.SIG_IGN)\n"
        "subprocess.Popen(['sleep', '4712.5'])\n"
    )
    assert run(f"{script}print('{{\"loss\": 1}}')").metrics == {"loss": 1.0}
    assert nobody_left("4712.5")
    started = time.monotonic()
    with pytest.raises(TrialError, match=r"it took longer than timeout = 1 seconds"):
        run(f"{script}time.sleep(1000)", timeout=1)
    assert time.monotonic() - started < 15
    assert nobody_left("4712.5")


def test_a_child_that_goes_on_printing_holds_nobody_up(run: Run, nobody_left: Any) -> None:
    assert run("import subprocess; subprocess.Popen(['yes', '4713.5']); print('{\"loss\": 1}')").metrics
    assert nobody_left("4713.5")


def test_a_gigabyte_is_read_in_bounded_memory(run: Run) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = run(
        "text = ('x' * 99 + '\\n') * 10_000\n"
        "for _ in range(1000): sys.stdout.write(text)\n"
        "sys.stdout.write('{' * 50_000_000 + '\\n')\n"
        "print('{\"loss\": 1}')"
    )
    assert results.metrics == {"loss": 1.0}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_killed_with_its_worker(tmp_path: Path, killed_in_mid_trial: Any, nobody_left: Any) -> None:
    script = (
        "import subprocess, time; subprocess.Popen(['sleep', '4714.5']); "
        "open('ready', 'w').close(); time.sleep(1000)"
    )
    (tmp_path / "train4714.py").write_text(script)
    killed_in_mid_trial(
        "from pathlib import Path; from study.black_boxes import Command; from study.spec import BlackBoxSpec\n"
        f"spec = BlackBoxSpec(command='{sys.executable} train4714.py', metric='loss', folder='.')\n"
        "Command(spec, Path.cwd()).run({'hyperparameters': {}, 'optimizer': '', 'seed': 0})"
    )
    assert nobody_left("4714.5")
    assert nobody_left("train4714")


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_objects_are_found_however_the_output_is_cut(size: int) -> None:
    text = b'a\n{"step": 1, "loss": 2}\nb{\n\n  {"step": 2, "loss": 3, "n": {"a": [1]}}  \n{"loss": 4}'
    reader = Reader("loss")
    for start in range(0, len(text), size):
        reader.feed(text[start : start + size])
    reader.feed(b"\n")
    assert (reader.results.metrics, reader.results.curve) == ({"loss": 4.0}, {1: 2.0, 2: 3.0})


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    reader = Reader("loss")
    for step in range(10 * MOST_POINTS):
        reader.feed(json.dumps({"step": step, "loss": step}).encode() + b"\n")
    steps = list(reader.results.curve)
    assert MOST_POINTS // 2 <= len(steps) <= MOST_POINTS + 1
    assert (steps[0], steps[-1]) == (0, 10 * MOST_POINTS - 1)
