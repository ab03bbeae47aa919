"""The service's own Ray cluster on this machine: started when a study needs it, found again by the next service.

It is a process of its own (`study.service.jobs.head`), so it outlives the service; a lock that every service holds,
shared, tells it whether there is one, and it ends when there is none and no job is left. Where it is and how to get in
is in a folder that only this user reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from study.service.settings import ServiceError

SLOT = "tunability_study"
"""The resource that a job takes one of while it runs: there are as many as studies may run at once."""
START_SECONDS, STOP_SECONDS = 90.0, 20.0
HEAD = "study.service.jobs.head"


class ClusterError(ServiceError):
    """The cluster cannot be started, or does not answer."""

    status = 503


@dataclass(frozen=True)
class Endpoint:
    """Where a cluster's Jobs API is, the token it asks for, if any, and where its jobs find it, if that is known."""

    url: str
    token: str | None = field(default=None, repr=False)
    address: str | None = None


class Cluster:
    """What is known about the cluster of the studies in one database.

    The folder holds: ``cluster.json``, where it is, while it runs; ``token``; ``pgpass``, the database's password as
    libpq reads it; ``in-use`` and ``starting``, locks; ``log``, of its start; ``files``, where Ray's own are.
    """

    def __init__(self, database: str, base: Path | None = None) -> None:
        name = hashlib.sha256(database.encode()).hexdigest()[:16]
        self.folder = (base or state_home()) / "tunability" / name
        self._starter = ThreadPoolExecutor(1, "cluster")
        self._in_use: int | None = None
        self._verified: int | None = None

    @property
    def pgpass(self) -> Path:
        return self.folder / "pgpass"

    def find(self) -> Endpoint | None:
        """The cluster that runs, if one does. Marks it as in use until `leave`."""
        if not self.folder.is_dir():
            return None
        self.use()  # waits while one is ending
        found = self._described()
        if found is None or not self._runs(found["pid"]):
            return None
        token = (self.folder / "token").read_text(encoding="ascii")
        return Endpoint(found["url"], token, found["address"])

    def slots(self) -> int | None:
        """How many studies may run at once on the cluster that runs; None without one."""
        found = self._described() if self.find() else None
        return found["slots"] if found else None

    def keep_priority(self) -> None:
        """Have a cluster start with the priority that this process has now: on Linux each thread has its own."""
        self._starter.submit(os.getpid).result()

    def start(self, slots: int) -> Endpoint:
        """The cluster, started if none runs, which takes some seconds. Raises ClusterError when it cannot be."""
        self._make_folder()
        with self._lock("starting"):
            found = self.find()
            if found is not None:
                return found
            return self._start(slots)

    def _start(self, slots: int) -> Endpoint:
        write_private(self.folder / "token", secrets.token_hex(32))
        described, log = self.folder / "cluster.json", self.folder / "log"
        described.unlink(missing_ok=True)
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TUNABILITY_")  # secrets of the service are not the jobs'
            and name not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN")  # which are about another cluster
        }
        environment |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # Ray's 15 would put training behind the service, see server.NICER
            "RAY_JOB_START_TIMEOUT_SECONDS": str(10**9),  # a job may wait for its turn for long
            "RAY_JOB_STOP_WAIT_TIME_S": "30",
            "RAY_JOB_STOP_SIGNAL": "SIGINT",  # Ray in the job takes SIGTERM for itself, and dies of it
        }
        write_private(log, "")
        with log.open("w") as output:
            process = self._starter.submit(
                subprocess.Popen,
                [sys.executable, "-m", HEAD, str(self.folder), str(slots)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the service alone
            ).result()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = self.find()
            if found is not None:
                threading.Thread(
                    target=process.wait, daemon=True
                ).start()  # or it would look alive when it ended
                return found
            if process.poll() is not None:
                break
            time.sleep(0.1)
        process.kill()
        process.wait()
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
        raise ClusterError(
            f"a Ray cluster cannot be started on this machine ({lines[-1].strip()}): see {log}"
        )

    def stop(self) -> bool:
        """Stop the cluster with all its jobs; return whether there was one."""
        found = self._described()
        if found is None or not is_head(found["pid"], self.folder):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(found["pid"], signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while is_head(found["pid"], self.folder) and time.monotonic() < deadline:
                time.sleep(0.1)
            if is_head(found["pid"], self.folder):
                os.kill(found["pid"], signal.SIGKILL)  # what it started ends with it
        (self.folder / "cluster.json").unlink(missing_ok=True)
        return True

    def use(self) -> None:
        """Keep the cluster from ending while this process lives."""
        if self._in_use is None:
            file = os.open(self.folder / "in-use", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(file, fcntl.LOCK_SH)
            self._in_use = file

    def leave(self) -> None:
        """Let the cluster end when it has no job left."""
        if self._in_use is not None:
            os.close(self._in_use)
            self._in_use = None

    def keep_password(self, password: str) -> None:
        """Write the database's password where libpq finds it: for jobs, which do not get it in their arguments."""
        self._make_folder()
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        write_private(self.pgpass, f"*:*:*:*:{escaped}\n")

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_mode & 0o077 or self.folder.stat().st_uid != os.geteuid():
            raise ClusterError(
                f"{self.folder} is not private: remove it, or set XDG_STATE_HOME to a folder of yours"
            )

    def _described(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.folder / "cluster.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found

    def _runs(self, pid: int) -> bool:
        """Whether the cluster runs; its command line is read once."""
        if pid != self._verified:
            self._verified = pid if is_head(pid, self.folder) else None
            return self._verified is not None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        file = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def state_home() -> Path:
    """Where programs keep their state, by the XDG base directory specification."""
    given = os.environ.get("XDG_STATE_HOME", "")
    return Path(given) if given.startswith("/") else Path.home() / ".local" / "state"


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user reads, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(file, "w", encoding="utf-8") as output:
        output.write(text)
    os.replace(temporary, path)


def is_head(pid: int, folder: Path) -> bool:
    """Whether a process is the cluster of this folder, and not another one that got its number."""
    shown = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return HEAD in shown and str(folder) in shown
