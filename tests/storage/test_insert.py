import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from patience import PATIENCE, wait_until
from sqlalchemy import event

import storage
from storage.records import Trials
from storage.store import Store, StoreError, open_store

Declare = Callable[..., None]
Plain = Callable[[str], optuna.storages.RDBStorage]
WRITER = Path(__file__).with_name("writer.py")


def before_inserts(patch: pytest.MonkeyPatch, tell: Callable[[str], None]) -> None:
    """Call it with a table's name before trials are inserted into it."""
    insert_rows = storage.insert.insert_rows

    def told(connection: Any, table: Any, *rest: Any) -> None:
        tell(table.name)
        insert_rows(connection, table, *rest)

    patch.setattr("storage.insert.insert_rows", told)


ROOT = Path(storage.__file__).parents[1]


def start_writer(url: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WRITER), url, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def two_writers(url: str, action: str, gate: Path, numbers: tuple[int, int]) -> Iterator[list[str]]:
    """Let two processes go at once; after the block, the list holds what each printed."""
    outputs: list[str] = []
    writers = [start_writer(url, action, gate, number) for number in numbers]
    try:
        for writer in writers:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
        gate.touch()
        yield outputs
        outputs += [writer.communicate(timeout=PATIENCE)[0] for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def test_two_processes_store_every_trial_once(
    store: Store, url: str, plain: Plain, declare: Declare, tmp_path: Path
) -> None:
    declare(store)
    gate, seeds = tmp_path / "gate", 5
    study = optuna.load_study(study_name="digits/adam", storage=plain(url))
    with two_writers(url, "race", gate, (seeds, seeds)) as outputs:
        # A user of Optuna adds trials to the same study meanwhile.
        for _ in range(5):
            study.tell(study.ask(), 0.5)
    size = store.space("digits").size
    new = [int(output) for output in outputs]
    assert sum(new) == size * seeds
    assert len(store.stored("digits", "adam")) == size * seeds
    numbers = sorted(trial.number for trial in study.get_trials())
    assert numbers == list(range(size * seeds + 5))
    assert all(len(trial.intermediate_values) == 2 for trial in study.get_trials() if trial.params)


def test_of_two_specs_declared_at_once_one_gets_the_trials(store: Store, url: str, tmp_path: Path) -> None:
    with two_writers(url, "declare", tmp_path / "gate", (400, 800)) as outputs:
        pass
    stored = [output.endswith("stored 2\n") for output in outputs]
    assert sorted(stored) == [False, True], outputs
    winner, refused = (400, outputs[1]) if stored[0] else (800, outputs[0])
    assert f"steps = {winner} there, {1200 - winner} here" in refused or "declared anew meanwhile" in refused
    assert store.spec("contested") == {"steps": winner}
    assert sorted(store.optimizers("contested")) == ["adam", f"optimizer-{winner}"]
    assert store.trials("contested")["error"].tolist() == [winner, winner]


@pytest.mark.parametrize("winner", ["trials", "declaration"])
def test_a_first_trial_and_another_declaration_wait_for_each_other(
    store: Store,
    url: str,
    declare: Declare,
    batch: Callable[..., Trials],
    winner: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever has the study's lock first wins, and the other is refused."""
    declare(store)
    inside, go_on = threading.Event(), threading.Event()

    def stop(table: str) -> None:
        awaited = "tunability_trials" if winner == "trials" else "study_user_attributes"
        if table == awaited and not inside.is_set():
            inside.set()
            assert go_on.wait(60)

    def before_attributes(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO study_user_attributes"):
            stop("study_user_attributes")

    before_inserts(monkeypatch, stop)

    with open_store(url, create=True) as other, ThreadPoolExecutor(2) as pool:
        works = [
            lambda: store.append("digits", "adam", batch()),
            lambda: declare(other, spec={"steps": 800}),
        ]
        first, second = works if winner == "trials" else works[::-1]
        event.listen(other.database.engine, "before_cursor_execute", before_attributes)
        ahead = pool.submit(first)
        assert inside.wait(60)
        behind = pool.submit(second)
        assert not wait([behind], timeout=1).done  # it waits
        go_on.set()
        assert ahead.result() in (12, None)
        with pytest.raises(StoreError, match=r"with another recipe|declared anew meanwhile"):
            behind.result()
    steps, trials = (400, 12) if winner == "trials" else (800, 0)
    assert (store.spec("digits"), len(store.trials("digits"))) == ({"steps": steps}, trials)


def test_a_killed_writer_leaves_nothing_half_done(
    store: Store, url: str, plain: Plain, declare: Declare, batch: Callable[..., Trials], tmp_path: Path
) -> None:
    declare(store)
    store.append("digits", "adam", batch(slice(2), seed=9))
    marker = tmp_path / "in the middle"
    writer = start_writer(url, "hang", marker)
    try:
        wait_until(marker.exists, alive=lambda: writer.poll() is None)
        with open_store(url, create=False) as reader:
            assert len(reader.trials("digits")) == 2
    finally:
        writer.kill()
        writer.communicate()
    assert store.stored("digits", "adam") == {(cell, 9) for cell in batch(slice(2)).cells()}
    study = optuna.load_study(study_name="digits/adam", storage=plain(url))
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE", "COMPLETE"]
    assert store.append("digits", "adam", batch()) == 12
    assert store.trials("digits")["number"].to_list() == list(range(14))


@pytest.mark.parametrize("table", ["trials", "trial_params", "trial_user_attributes"])
def test_a_failed_append_leaves_nothing_half_done(
    store: Store, declare: Declare, batch: Callable[..., Trials], table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        if name == table:
            raise KeyboardInterrupt

    declare(store)
    with monkeypatch.context() as patch:
        before_inserts(patch, fail)
        with pytest.raises(KeyboardInterrupt):
            store.append("digits", "adam", batch())
    assert store.stored("digits", "adam") == set()
    assert store.append("digits", "adam", batch()) == 12
    assert store.trials("digits")["number"].to_list() == list(range(12))


def test_a_reader_sees_another_process_after_its_own_opened_the_file_again(
    prepared: Callable[[str], str], declare: Declare, tmp_path: Path
) -> None:
    url = prepared("sqlite")
    with open_store(url, create=False) as reader:
        with open_store(url, create=True) as store:
            declare(store)
        assert len(reader.trials("digits")) == 0
        for seeds in (1, 2):  # the first writer would take away the journal that the reader follows
            with two_writers(url, "race", tmp_path / f"gate {seeds}", (seeds, seeds)):
                pass
            assert len(reader.trials("digits")) == seeds * reader.space("digits").size
