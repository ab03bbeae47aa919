"""The service under load: 50 clients and 200 event listeners on a store of 100,000 trials.

`tunability serve` runs as a process of its own on an SQLite file of four studies (two optimizers each, 21 x 21 cells,
29 seeds, 20 curve points a trial). Clients, in a second process, ask for the list of studies, one study, pages of
trials (filtered, sorted, by cursor) and landscapes, at random, with a short pause between requests; listeners hold
event streams open all the while. Printed: latencies by kind, errors, the service's memory along the way.

Then the same reads one at a time, here and from optuna-dashboard's API on the same file; its smallest unit is a whole
study. Last, a study running (`tunability run`) alone and beside a service that everybody listens to, in turns; the
ratio is the median over turns. The clients have the lowest priority then, as they belong on other machines.

Every phase needs the machine for itself. Ends with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import aiohttp
import numpy as np
import optuna
import psutil
from service_clients import SEEDS, STUDIES

from search_spaces import get_space
from storage.records import Trials
from storage.store import open_store
from study.shown.console import show_table

COMMAND = Path(sys.executable).with_name("tunability")
DASHBOARD = Path(sys.executable).with_name("optuna-dashboard")
CLIENTS = Path(__file__).with_name("service_clients.py")
OPTIMIZERS, POINTS = ("adam", "avagrad"), 20
TOKEN = "a-token-for-the-benchmark"
P95_TARGET, SLOWDOWN_TARGET, MEMORY_TARGET = 0.5, 0.10, 0.10


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="tunability-load-") as folder:
        database = Path(folder, "load.db")
        started = time.perf_counter()
        count = fill(database)
        print(f"stored {count:,} trials in {time.perf_counter() - started:.0f} s")
        missed: list[str] = []
        if options.only in (None, "load"):
            missed += under_load(database, options)
        if options.only in (None, "dashboard"):
            beside_optuna_dashboard(database)
        if options.only in (None, "study"):
            missed += beside_a_study(Path(folder), database, options)
    if missed:
        raise SystemExit(f"missed: {'; '.join(missed)}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3, help="of a study beside the service")
    parser.add_argument("--only", choices=["load", "dashboard", "study"], help="one part instead of all")
    return parser.parse_args()


def fill(database: Path) -> int:
    rng, space = np.random.default_rng(0), get_space("avagrad-cifar")
    cells, now, count = space.cells(), datetime.now(UTC), 0
    alpha, eps = np.log10(cells).T
    with open_store(f"sqlite:///{database}", create=True) as store:
        for number in range(STUDIES):
            name = f"study-{number}"
            store.declare(
                name,
                {optimizer: {} for optimizer in OPTIMIZERS},
                space=space,
                metric="validation_error",
                spec={"seeds": SEEDS},
                provenance={},
            )
            for optimizer in OPTIMIZERS:
                for seed in range(SEEDS):
                    error = 0.02 + 0.9 * np.tanh(0.1 * (alpha + 2 - 0.3 * number * eps) ** 2)
                    error = np.clip(error + rng.normal(0, 0.01, len(cells)), 0, 1)
                    curve = np.clip(error[:, None] + np.linspace(0.5, 0, POINTS), 0, 1)
                    trials = Trials(
                        hyperparameters={axis.name: cells[:, i] for i, axis in enumerate(space.axes)},
                        seed=seed,
                        value=error,
                        metrics={"validation_loss": error * 2},
                        curve_steps=np.arange(1, POINTS + 1) * 20,
                        curve=curve,
                        diverged_at=np.full(len(cells), -1),
                        seconds=np.full(len(cells), 0.01),
                        started=now,
                        finished=now,
                    )
                    count += store.append(name, optimizer, trials)
    return count


@contextmanager
def serving(database: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A service of its own, ready; its port and process."""
    process = subprocess.Popen(
        [str(COMMAND), "serve", "--port", "0", "--storage", f"sqlite:///{database}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TUNABILITY_TOKEN": TOKEN},
    )
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)/", process.stdout.readline())
        if not found:
            raise SystemExit("the service did not start")
        wait_for(f"http://127.0.0.1:{found[1]}/openapi.json")  # which leaves the store to the clients
        yield int(found[1]), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str) -> None:
    async def answered() -> None:
        async with aiohttp.ClientSession(headers={"authorization": f"Bearer {TOKEN}"}) as session:
            for _ in range(300):
                try:
                    async with session.get(url) as reply:
                        if reply.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.2)
        raise SystemExit(f"{url} does not answer")

    asyncio.run(answered())


def start_client(
    port: int, output: IO[str], options: argparse.Namespace, **changed: object
) -> subprocess.Popen[str]:
    given = {
        "seconds": options.seconds,
        "clients": options.clients,
        "listeners": options.listeners,
        "port": port,
    }
    arguments = [f"--{name}={value}" for name, value in {**given, **changed}.items()]
    return subprocess.Popen(
        [sys.executable, str(CLIENTS), *arguments],
        stdout=output,
        text=True,
        env={**os.environ, "TUNABILITY_TOKEN": TOKEN},
    )


def under_load(database: Path, options: argparse.Namespace) -> list[str]:
    """From a cold start: nothing has been asked for before."""
    # A file: into a pipe it could not write more than fits before it is read.
    with serving(database) as (port, service), tempfile.TemporaryFile("w+") as output:
        memory = [service.memory_info().rss]
        client = start_client(port, output, options)
        started = time.perf_counter()
        used = sum(service.cpu_times()[:2])
        while client.poll() is None:
            time.sleep(1)
            memory.append(service.memory_info().rss)
        used = sum(service.cpu_times()[:2]) - used
        elapsed = time.perf_counter() - started
        output.seek(0)
        found = json.load(output)
    rows = []
    for kind, values in [*sorted(found["times"].items()), ("all", every(found))]:
        low, middle, high = np.percentile(values, [50, 95, 99])
        rows.append(
            (kind, f"{len(values):,}", *(f"{1000 * each:.0f}" for each in (low, middle, high, max(values))))
        )
    show_table(("request", "count", "median ms", "p95 ms", "p99 ms", "most ms"), rows)
    p95 = float(np.percentile(every(found), 95))
    first, third, last = (memory[place] / 2**20 for place in (0, len(memory) // 3, -2))
    print(
        f"{options.clients} clients, {options.listeners} listeners ({found['broken']} broken), "
        f"{len(every(found)) / elapsed:.0f} requests/s of {found['distinct']:,} distinct addresses, "
        f"{used / elapsed:.0%} of a core; errors: {len(found['errors'])} {found['errors'][:3] or ''}\n"
        f"p95 {1000 * p95:.0f} ms (target {1000 * P95_TARGET:.0f}); "
        f"memory {first:.0f} MiB at the start, {third:.0f} after a third, {last:.0f} at the end"
    )
    return [
        what
        for what, is_so in (
            (f"p95 under {1000 * P95_TARGET:.0f} ms", p95 >= P95_TARGET),
            ("no errors", bool(found["errors"] or found["broken"])),
            (f"memory within {MEMORY_TARGET:.0%} after a third", last > (1 + MEMORY_TARGET) * third),
        )
        if is_so
    ]


def every(found: dict[str, Any]) -> list[float]:
    """The latencies of all kinds of requests."""
    return [seconds for times in found["times"].values() for seconds in times]


def beside_optuna_dashboard(database: Path) -> None:
    """The same three reads, one at a time, cold and warm."""
    if not DASHBOARD.exists():
        print("optuna-dashboard is not installed: nothing to compare with")
        return
    rows = []
    with serving(database) as (port, _):
        ours = {
            "studies": f"http://127.0.0.1:{port}/api/v1/studies",
            "one optimizer's landscape": f"http://127.0.0.1:{port}/api/v1/studies/study-0/landscape?optimizer=adam",
            "50 trials": f"http://127.0.0.1:{port}/api/v1/studies/study-0/trials?optimizer=adam&limit=50",
        }
        here = {name: timed(url) for name, url in ours.items()}
    port = 8099
    process = subprocess.Popen(
        [str(DASHBOARD), f"sqlite:///{database}", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/studies")
        url = f"http://127.0.0.1:{port}/api"
        theirs = {"studies": timed(f"{url}/studies"), "one study with all trials": timed(f"{url}/studies/1")}
    finally:
        process.terminate()
        process.wait(30)
    for name, (first, later, size) in here.items():
        other = theirs["studies" if name == "studies" else "one study with all trials"]
        rows.append(
            (
                name,
                f"{1000 * first:.0f}",
                f"{1000 * later:.1f}",
                f"{size / 1024:,.0f}",
                f"{1000 * other[0]:,.0f}",
                f"{1000 * other[1]:,.0f}",
                f"{other[2] / 1024:,.0f}",
                f"{other[1] / later:,.0f}x",
            )
        )
    header = (
        "read",
        "first ms",
        "again ms",
        "KiB",
        "optuna-dashboard: first ms",
        "again ms",
        "KiB",
        "again, ratio",
    )
    show_table(header, rows)


def timed(url: str, repeats: int = 10) -> tuple[float, float, int]:
    """Seconds of the first request, median of further ones, bytes."""

    async def ask() -> tuple[float, float, int]:
        seconds, size = [], 0
        timeout = aiohttp.ClientTimeout(total=600)
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            for _ in range(repeats + 1):
                started = time.perf_counter()
                async with session.get(url) as reply:
                    size = len(await reply.read())
                    reply.raise_for_status()
                seconds.append(time.perf_counter() - started)
        return seconds[0], float(np.median(seconds[1:])), size

    return asyncio.run(ask())


def beside_a_study(folder: Path, database: Path, options: argparse.Namespace) -> list[str]:
    """Training time of a study alone and on the database of a service with listeners, taking turns.

    Clients read the study that is growing, too.
    """
    spec = folder / "study.toml"
    spec.write_text(
        'name = "beside"\nworkload = { name = "digits-mlp", steps = 2000 }\noptimizers = ["adam", "avagrad"]\n'
        'space = "avagrad-cifar"\nseeds = 1\n'
    )
    seconds: dict[str, list[float]] = defaultdict(list)
    shares: dict[str, list[float]] = defaultdict(list)
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)
    training_seconds(spec, folder / "first.db")  # compiles, what later ones find in the cache
    for repeat in range(options.repeats):
        for way in ("alone", "listened to", "listened to and read"):
            own = folder / f"{way.replace(' ', '-')}-{repeat}.db"
            shutil.copy(database, own)
            if way == "alone":
                seconds[way].append(training_seconds(spec, own))
            else:
                with serving(own) as (port, service), tempfile.TemporaryFile("w+") as output:
                    clients = options.clients if way.endswith("read") else 0
                    client = start_client(port, output, options, seconds=600, clients=clients)
                    psutil.Process(client.pid).nice(19)
                    try:
                        time.sleep(10)  # the cold start is measured above
                        used, started = sum(service.cpu_times()[:2]), time.monotonic()
                        seconds[way].append(training_seconds(spec, own))
                        used = sum(service.cpu_times()[:2]) - used
                        shares[way].append(used / (time.monotonic() - started))
                    finally:
                        client.terminate()
                        client.wait()
                    output.seek(0)
                    told[way].append(json.load(output))
            own.unlink()
    rows, slower = [], 0.0
    for way, each in seconds.items():
        ratio = float(np.median(np.array(each) / seconds["alone"]))
        slower = max(slower, ratio - 1)
        times = [one for found in told[way] for one in every(found)]
        rows.append(
            (
                way,
                ", ".join(f"{one:.1f}" for one in each),
                f"{ratio - 1:+.1%}",
                f"{np.median(shares[way]):.0%}" if way in shares else "-",
                f"{len(times):,}",
                f"{1000 * np.percentile(times, 95):.0f}" if times else "-",
                str(sum(len(found["errors"]) + found["broken"] for found in told[way])),
                f"{sum(found['events'] for found in told[way]):,}",
            )
        )
    slow = f"slower (target {SLOWDOWN_TARGET:.0%})"
    header = ("a study of 882 trials", "seconds", slow, "of a core", "requests", "p95 ms", "errors", "events")
    show_table(header, rows)
    missed = [f"slower by at most {SLOWDOWN_TARGET:.0%}"] if slower > SLOWDOWN_TARGET else []
    failed = any(found["errors"] or found["broken"] for each in told.values() for found in each)
    return missed + (["no errors beside a study"] if failed else [])


def training_seconds(spec: Path, database: Path) -> float:
    """From the start of the first block to the end of the last; workers as the service's cluster has them."""
    subprocess.run(
        [str(COMMAND), "run", str(spec), "--storage", f"sqlite:///{database}"],
        stdout=subprocess.DEVNULL,
        check=True,
        env={**os.environ, "RAY_worker_niceness": "0"},
    )
    stored = optuna.storages.RDBStorage(f"sqlite:///{database}")
    trials = [
        trial
        for optimizer in OPTIMIZERS
        for trial in optuna.load_study(study_name=f"beside/{optimizer}", storage=stored).trials
    ]
    started = min(trial.datetime_start for trial in trials if trial.datetime_start)
    finished = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    return (finished - started).total_seconds()


if __name__ == "__main__":
    main()
