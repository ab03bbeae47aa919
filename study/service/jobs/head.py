"""The process that is the service's Ray cluster; see `cluster`. It ends when nobody needs it, or when Ray has died.

`ray.init` and not `ray start`, though that has an option for `choose_agent_port`: it also starts a Ray Client server,
one more open port that cannot be turned off, and the cluster ends when that port is taken.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray._private.parameter import RayParams

from study.running.children import CLUSTER_PROCESSES, Children
from study.service.jobs.cluster import SLOT, Endpoint, write_private
from study.service.jobs.jobs import ALIVE, JobsError, list_jobs

FILES = "files"
"""In the cluster's folder: where Ray's files are while it runs."""
TRIES = 25
LOOK_SECONDS = 2.0
PATIENCE = 3
"""How often in a row nobody may need it: a service that restarts finds it again."""
PATIENCE_WITH_SILENCE = 20
"""How often more often it may not say what it does."""


def main(folder: Path, slots: int) -> None:
    """Start the cluster, say where it is, and wait: for SIGTERM, or until it has died or nobody needs it."""
    told = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    remove_left(folder)
    # Paths of sockets are limited to about a hundred characters, so this is not in the folder.
    files = Path(tempfile.mkdtemp(prefix="tunability-"))
    write_private(folder / FILES, str(files))
    choose_agent_port()
    try:
        context = ray.init(
            "local",
            resources={SLOT: slots},
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(inside(files)),
        )
        signal.signal(signal.SIGTERM, lambda *_: told.set())
        described = folder / "cluster.json"
        endpoint = Endpoint(f"http://{context.dashboard_url}", (folder / "token").read_text(encoding="ascii"))
        address = ray.get_runtime_context().gcs_address
        write_private(
            described,
            json.dumps({"pid": os.getpid(), "slots": slots, "url": endpoint.url, "address": address}),
        )
        with (folder / "in-use").open("a") as lock:
            wait(told, lock.fileno(), endpoint, Children(CLUSTER_PROCESSES))
            described.unlink(missing_ok=True)
            ray.shutdown()
    finally:
        for _ in range(TRIES):
            shutil.rmtree(files, ignore_errors=True)
            if not files.exists():
                break
            time.sleep(0.2)  # a process of Ray's that is ending has written something meanwhile


def inside(files: Path) -> Path:
    """Where Ray may put its files: it lets everybody into each folder that it is given or makes, so not `files` itself.

    Nobody but this user comes through `files`, whatever the modes of what is in it.
    """
    return files / "ray"


def remove_left(folder: Path) -> None:
    """Remove what a cluster that was killed has left; the one whose `folder` this is has ended."""
    with contextlib.suppress(OSError):
        left = Path((folder / FILES).read_text(encoding="utf-8"))
        if left.name.startswith("tunability-") and left.stat().st_uid == os.geteuid():
            shutil.rmtree(left, ignore_errors=True)


def choose_agent_port() -> None:
    """Have Ray choose the port of its agent, which takes jobs in: `ray.init` has one port for all clusters.

    With two clusters on a machine the second would take no jobs. `ray start` has an option for it.
    """
    original = RayParams.__init__

    def initialize(self: RayParams, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **{"dashboard_agent_listen_port": 0, **named})

    RayParams.__init__ = initialize  # type: ignore[method-assign]


def wait(told: threading.Event, lock: int, endpoint: Endpoint, own: Children) -> None:
    """Return when told to, when one of its `own` processes has died, or, holding the lock, when nobody needs it."""
    looks_left: float = PATIENCE
    while not told.wait(LOOK_SECONDS) and not own.dead():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            looks_left = PATIENCE
            continue
        try:
            looks_left = (
                PATIENCE if any(job.status in ALIVE for job in list_jobs(endpoint)) else looks_left - 1
            )
        except JobsError:  # it may be busy
            looks_left -= 1 / PATIENCE_WITH_SILENCE
        if looks_left <= 0:
            return
        fcntl.flock(lock, fcntl.LOCK_UN)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
