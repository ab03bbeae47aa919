"""How throughput grows with the nodes of a cluster, and with the drivers that share a study.

Trials wait for so many seconds and do nothing, as if each worker had a core of its own; a node has one. The rate is
that of the steady state: from when each driver has stored some trials until one of them has stored its last, with
workers that have imported everything.

First one driver on a cluster of one, two and three nodes. Then one driver on a cluster of one node, and two drivers on
two such clusters with one database, in turn.

`python benchmarks/nodes.py [--trials 90] [--seconds 0.5] [--repeats 2] [--storage URL]`
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from ray.cluster_utils import Cluster

from storage.store import open_store
from study.shown.console import show_table
from study.spec import to_toml

COMMAND = Path(sys.executable).with_name("tunability")
MODULE = """
import time
def train(hyperparameters, optimizer, seed):
    time.sleep({seconds})
    return hyperparameters["x"]
"""
WARM = 6
"""Trials of each driver that do not count."""
TARGET = 1.7


@contextmanager
def clusters(nodes: list[int]) -> Iterator[list[Cluster]]:
    """Clusters of so many nodes of one CPU each."""
    with ExitStack() as stack:
        made = []
        for count in nodes:
            cluster = Cluster(
                initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
            )
            stack.callback(cluster.shutdown)
            for _ in range(count - 1):
                cluster.add_node(num_cpus=1)
            cluster.wait_for_nodes()
            made.append(cluster)
        yield made


def rate(folder: Path, url: str, name: str, trials: int, addresses: list[str]) -> float:
    """Trials a second of a new study with a driver at each address."""
    spec = {
        "name": name,
        "workload": {"function": "waits:train", "metric": "loss"},
        "optimizers": ["mine"],
        "space": {"x": {"low": 0, "high": 1, "num": trials, "scale": "linear"}},
        "seeds": 1,
    }
    path = folder / f"{name}.toml"
    path.write_text(to_toml(spec))
    drivers = [
        subprocess.Popen(
            [COMMAND, "run", path, "--storage", url, "--address", address],
            cwd=folder,
            env=os.environ | {"RAY_AUTH_MODE": "disabled"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for address in addresses
    ]
    said = [driver.communicate()[0] for driver in drivers]
    if any(driver.returncode for driver in drivers):
        sys.exit("\n".join(said))
    with open_store(url, create=False) as store:
        times = store.times(name)
    finished = [group.sort_values().to_numpy() for _, group in times.groupby("launch")["finished"]]
    if len(finished) != len(addresses) or min(map(len, finished)) <= 2 * WARM:
        sys.exit(f"the drivers stored {[len(each) for each in finished]} trials: give more --trials")
    start, end = max(each[WARM] for each in finished), min(each[-1] for each in finished)
    counted = sum(int(((each > start) & (each <= end)).sum()) for each in finished)
    return counted / float((end - start) / np.timedelta64(1, "s"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=90, help="of each worker")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a trial")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--storage", help="an empty database; by default a new SQLite file")
    options = parser.parse_args()
    os.environ["RAY_AUTH_MODE"] = "disabled"
    by_nodes: dict[int, list[float]] = {1: [], 2: [], 3: []}
    by_drivers: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        url = options.storage or f"sqlite:///{folder}/nodes.db"
        (folder / "waits.py").write_text(MODULE.format(seconds=options.seconds))
        for repeat in range(options.repeats):
            with clusters([1, 1]) as both:
                for count, rates in by_drivers.items():
                    addresses = [each.address for each in both[:count]]
                    name = f"drivers-{count}-{repeat}"
                    rates.append(rate(folder, url, name, count * options.trials, addresses))
                    print(name, f"{rates[-1]:.2f}/s", flush=True)
            for count, rates in by_nodes.items():
                with clusters([count]) as (cluster,):
                    name = f"nodes-{count}-{repeat}"
                    rates.append(rate(folder, url, name, count * options.trials, [cluster.address]))
                    print(name, f"{rates[-1]:.2f}/s", flush=True)
    for what, found, target in (("nodes", by_nodes, None), ("drivers", by_drivers, TARGET)):
        print(f"\nTrials of {options.seconds:g} s, medians of {options.repeats} repeats")
        show_table(
            (what, "trials/s", "ratio", "target"),
            [
                (
                    str(count),
                    f"{median(rates):.2f}",
                    f"{median(rates) / median(found[1]):.2f}",
                    f">= {target:g}" if target and count > 1 else "-",
                )
                for count, rates in found.items()
            ],
        )


if __name__ == "__main__":
    main()
