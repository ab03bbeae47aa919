"""How what the store does grows with what it holds: every command should cost what its answer costs.

A database of 441-cell studies of one optimizer, 5 seeds each (2,205 trials), is filled until it holds so many trials,
and at each size the seconds of each question are printed: the least of a few, the store open. `--points` learning-curve
points a trial (20 is what studies have; fewer fill the database faster). Then a study of each of the `--large`
numbers of trials gets blocks of 63 as a study writes them, is read, exported, copied into another database and merged
into one that has a block of it. Peak memory is that of a process of its own, which does nothing else.

    python benchmarks/growth.py --sizes 1000,10000,100000,1000000 --points 1
    python benchmarks/growth.py --sizes 3000 --large 2000,50000,200000,400000
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import store as blocks

from search_spaces import Axis, SearchSpace, get_space
from storage.copy import copy_study, merge_study
from storage.export import write_pieces
from storage.store import Store, open_store
from study.shown.console import show_table

SEEDS = 5
FORMATS = ("csv", "json", "parquet", "table")
TARGETS = {
    "open": None,
    "studies()": 0.5,
    "versions()": 0.005,
    "declare()": 0.05,
    "landscape": 1.0,
    "first page": 0.05,
    "a page by where": 0.05,
    "append of 63": 63 / 5_000,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,10000,100000", help="trials of the database, in order")
    parser.add_argument("--large", default="", help="trials of further studies, one each")
    parser.add_argument("--points", type=int, default=20, help="of each learning curve")
    parser.add_argument("--storage", metavar="URL", help="an empty database; by default a new SQLite file")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    blocks.POINTS = options.points
    with tempfile.TemporaryDirectory() as folder:
        url = options.storage or f"sqlite:///{folder}/growth.db"
        sizes = [int(size) for size in options.sizes.split(",")]
        with open_store(url, create=True) as store:
            columns = [measured(url, store, size) for size in sizes]
        print(f"\nSeconds of each question, {options.points} curve points a trial, {url.partition(':')[0]}")
        show_table(
            ("question", *(f"{size:,}" for size in sizes), "target"),
            [
                (name, *(f"{column[name]:.4f}" for column in columns), f"< {most:g}" if most else "-")
                for name, most in TARGETS.items()
            ]
            + [("trials/s while filling", *(f"{column['rate']:,.0f}" for column in columns), "")],
        )
        if options.large:
            show_large(url, [int(size) for size in options.large.split(",")], options.points, Path(folder))


def measured(url: str, store: Store, size: int) -> dict[str, float]:
    """Fill the database up to so many trials, and ask it."""
    rate = fill(store, size)
    name = next(iter(store.versions()))
    found = {
        "rate": rate,
        "open": timed(lambda: open_store(url, create=False).close()),
        "studies()": timed(store.studies),
        "versions()": timed(store.versions),
        "declare()": timed(lambda: declare(store, name)),
        "landscape": timed(lambda: store.values(name, blocks.OPTIMIZER)),
        "first page": timed(lambda: store.page(name, limit=100)),
        "a page by where": timed(lambda: store.page(name, where="alpha < 0.1 and seed = 1", limit=100)),
    }
    declare(store, "appended")
    new = iter(
        [
            block
            for seed in range(9)
            for block in blocks.finished_blocks(get_space("avagrad-cifar"), 1_000 + size + seed)
        ]
    )
    found["append of 63"] = timed(lambda: store.append("appended", blocks.OPTIMIZER, next(new)), 60)
    return found


def timed(question: Callable[[], object], repeats: int = 9) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        question()
        seconds.append(time.perf_counter() - started)
    return min(seconds)  # whatever else the machine does only adds to it


def declare(store: Store, name: str) -> None:
    store.declare(
        name,
        {blocks.OPTIMIZER: {}},
        space=get_space("avagrad-cifar"),
        metric="validation_error",
        spec={},
        provenance={},
    )


def fill(store: Store, size: int) -> float:
    """Add studies until there are so many trials; trials a second."""
    there = int(store.studies()["trials"].sum())
    added, started, space = 0, time.perf_counter(), get_space("avagrad-cifar")
    number = len(store.versions())
    while there + added < size:
        name = f"study-{number:06}"
        declare(store, name)
        wanted = min(size - there - added, SEEDS * space.size)
        made = [block for seed in range(SEEDS) for block in blocks.finished_blocks(space, seed)]
        for block in made[: -(-wanted // blocks.BLOCK)]:
            added += store.append(name, blocks.OPTIMIZER, block)
        number += 1
    return added / (time.perf_counter() - started)


def large_study(store: Store, size: int) -> list[tuple[int, float]]:
    """A study of so many trials, written in blocks: after each seed the trials there, and its trials a second."""
    space = SearchSpace([Axis(name, np.geomspace(1e-6, 1e2, 100).tolist()) for name in ("alpha", "eps")])
    name = large_name(size)
    store.declare(
        name, {blocks.OPTIMIZER: {}}, space=space, metric="validation_error", spec={}, provenance={}
    )
    rates, done = [], 0
    while done < size:  # a seed of every cell at a time
        spent, before = 0.0, done
        for block in blocks.finished_blocks(space, done // space.size, size - done):
            started = time.perf_counter()
            done += store.append(name, blocks.OPTIMIZER, block)
            spent += time.perf_counter() - started
        rates.append((done, (done - before) / spent))
    return rates


def large_name(size: int) -> str:
    return f"large-{size}"


def show_large(url: str, sizes: list[int], points: int, folder: Path) -> None:
    with open_store(url, create=True) as store:
        rates = [large_study(store, size) for size in sizes]
    print(f"\nAppending to the last study, {points} curve points a trial")
    show_table(("trials", "trials/s"), [(f"{there:,}", f"{rate:,.0f}") for there, rate in rates[-1]])
    rows = []
    for what in ("read", *(f"export {format}" for format in FORMATS), "copy", "merge"):
        found = [in_a_process(what, url, large_name(size), folder) for size in sizes]
        rows.append((what, f"{found[-1][0]:.1f}", *(f"{peak:,.0f}" for _, peak in found)))
        print(*rows[-1], flush=True)
    print("Peak MB by the trials of a study")
    show_table(("", "seconds of the last", *(f"{size:,}" for size in sizes)), rows)


def in_a_process(what: str, url: str, study: str, folder: Path) -> tuple[float, float]:
    """The seconds of it and the peak memory in MB."""
    with tempfile.TemporaryDirectory(dir=folder) as target:
        command = [sys.executable, __file__, "--child", what, url, study, target]
        shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, peak = shown.split()[-2:]
    return float(seconds), float(peak)


def child(what: str, url: str, study: str, folder: str) -> None:
    """Do one thing and print its seconds and this process's peak memory in MB."""
    with open_store(url, create=False) as store:
        started = time.perf_counter()
        if what == "read":
            for _ in store.read(study):
                pass
        elif what in ("copy", "merge"):
            with open_store(f"sqlite:///{folder}/other.db", create=True) as other:
                if what == "copy":
                    copy_study(store, other, study)
                else:
                    about = store.about(study)
                    other.declare(
                        study,
                        about.recipes,
                        space=about.space,
                        metric=about.metric,
                        spec=about.spec,
                        provenance={},
                    )
                    other.append(study, blocks.OPTIMIZER, next(store.read(study)))
                    merge_study(store, other, study)
        else:
            write_pieces(lambda: store.trial_pages(study), what.split()[1], Path(folder) / "out")  # type: ignore[arg-type]
    # getrusage would tell of the process that started this one, too
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(time.perf_counter() - started, int(peak[1]) / 1_024 if peak else float("nan"))


if __name__ == "__main__":
    main()
