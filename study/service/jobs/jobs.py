"""The jobs that run studies: Ray's Jobs API, over HTTP."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import anyio.to_thread

from study.service.answers.shared import Shared
from study.service.jobs.cluster import SLOT, START_SECONDS, Cluster, ClusterError, Endpoint
from study.service.settings import Settings, without_password

TIMEOUT_SECONDS = {"GET": 5.0, "POST": 60.0}
"""A cluster that just started takes its time for the first job."""
FRESH_SECONDS = 1.0
SILENT_SECONDS = 10.0
"""For how long a cluster that did not answer is not asked again."""
ALIVE = ("PENDING", "RUNNING")
ENDED = {0: "SUCCEEDED", 130: "STOPPED"}
"""What the exit code of a job means; others mean FAILED."""
WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class JobsError(ClusterError):
    """The cluster does not answer, or refuses."""


@dataclass(frozen=True)
class Job:
    """A job as the cluster knows it; `status` is PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""

    id: str
    status: str
    message: str | None


@dataclass(frozen=True)
class Table:
    """The jobs of the service's cluster, by id, and why they are not known, if they are not.

    `cluster` is what launches on it have as ``launch["cluster"]``.
    """

    jobs: Mapping[str, Job]
    cluster: str
    problem: str | None = None

    def knows(self, launch: Mapping[str, Any]) -> bool:
        """Whether the job of a launch would be here if it were alive."""
        return self.problem is None and launch.get("cluster") == self.cluster

    def status(self, launch: Mapping[str, Any]) -> str | None:
        """The status of the job of a launch, also of one on another service's cluster; None when it is gone.

        What is kept of a launch tells what the cluster cannot: that it is just being submitted, and how it ended.
        """
        job = self.jobs.get(str(launch.get("job")))
        if job is not None:
            return job.status
        if ended := launch.get("ended"):
            return ENDED.get(ended["code"], "FAILED")
        if "job" not in launch:
            return None
        if not launch["submitted"]:
            return "PENDING" if time.time() < launch["asked"] + START_SECONDS else None
        if self.knows(launch) or launch["stopped"]:  # a stopped one ends by itself
            return None
        return "RUNNING" if launch["started"] else "PENDING"

    def alive(self, launch: Mapping[str, Any]) -> bool:
        """Whether a study's job is queued or running; one that was stopped in the queue only waits for its end."""
        status = self.status(launch)
        return status in ALIVE and not (launch["stopped"] and status == "PENDING")


def ask(endpoint: Endpoint, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
    """What the cluster's HTTP API answers. Raises JobsError when there is no answer, or none with status 200."""
    headers = {"content-type": "application/json"}
    if endpoint.token is not None:
        headers["authorization"] = f"Bearer {endpoint.token}"
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(f"{endpoint.url}/api/{path}", data, headers, method=method)
    try:
        with WITHOUT_PROXY.open(request, timeout=TIMEOUT_SECONDS[method]) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            lines = error.read().decode(errors="replace").strip().splitlines()
        reason = f"{error.code} {lines[-1].strip() if lines else error.reason}"
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error))
    raise JobsError(
        f"the Ray cluster at {endpoint.url} does not do what it was asked ({reason}): see whether it runs"
    )


def list_jobs(endpoint: Endpoint) -> list[Job]:
    """Every job that was submitted to a cluster. Raises JobsError when it does not answer."""
    return [
        Job(each["submission_id"], each["status"], last_line(each.get("message")))
        for each in ask(endpoint, "GET", "jobs/")
        if each.get("submission_id")
    ]


def has_slots(endpoint: Endpoint) -> bool:
    """Whether a node of a cluster was started with slots for studies. Raises JobsError when it does not answer."""
    nodes = ask(endpoint, "GET", "v0/nodes?detail=1")["data"]["result"]["result"]
    return any(SLOT in (node.get("resources_total") or {}) for node in nodes if node["state"] == "ALIVE")


def last_line(message: str | None) -> str | None:
    """Of what a job that failed said, the last line, which tells why."""
    lines = (message or "").strip().splitlines()
    return lines[-1].strip() if lines else None


class Jobs:
    """The jobs on the cluster of a service: a running one by its address, or its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bare, self._password = without_password(settings.storage)
        self.cluster = Cluster(self._bare)
        self._table = Shared(lambda: anyio.to_thread.run_sync(self.look), FRESH_SECONDS)
        self._silent: tuple[float, Table] | None = None
        own = f"{socket.gethostname()}:{self.cluster.folder}"
        self.name = own if settings.address is None else settings.address.rstrip("/")

    @property
    def own(self) -> bool:
        """Whether the cluster is the service's own."""
        return self._settings.address is None

    def endpoint(self) -> Endpoint | None:
        """The cluster, unless it is an own one that does not run."""
        if self._settings.address is not None:
            return Endpoint(self._settings.address.rstrip("/"), os.environ.get("RAY_AUTH_TOKEN"))
        return self.cluster.find()

    async def table(self) -> Table:
        """The jobs, at most a second old."""
        return await self._table.get()

    def forget(self) -> None:
        """Ask the cluster again next time."""
        self._table.forget()

    def look(self) -> Table:
        """The jobs as they are now; none without a cluster."""
        if self._silent and time.monotonic() < self._silent[0]:
            return self._silent[1]
        endpoint = self.endpoint()
        try:
            found = {job.id: job for job in list_jobs(endpoint)} if endpoint else {}
        except JobsError as error:
            silent = Table({}, self.name, str(error))
            self._silent = time.monotonic() + SILENT_SECONDS, silent
            return silent
        self._silent = None
        return Table(found, self.name)

    def submit(self, job: str, study: str) -> None:
        """Have a study's job run when it is its turn; starts the cluster if need be. Raises ClusterError."""
        if not self.own and self._password is not None:
            raise ClusterError(
                "a cluster that is not the service's own does not get the database's password: put it into ~/.pgpass "
                "there, and here, and leave it out of --storage"
            )
        endpoint = self.cluster.start(self._settings.slots) if self.own else self.endpoint()
        assert endpoint is not None
        if self._password is not None:
            self.cluster.keep_password(self._password)
        document = self._submission(job, study, endpoint)
        if self.own or has_slots(endpoint):
            document["entrypoint_resources"] = {SLOT: 1}
        ask(endpoint, "POST", "jobs/", document)

    def _submission(self, job: str, study: str, endpoint: Endpoint) -> dict[str, Any]:
        arguments = ["-m", "study.service.jobs.job", job, study, self._bare]
        document: dict[str, Any] = {"submission_id": job, "metadata": {"study": study}}
        if not self.own:
            return document | {"entrypoint": shlex.join(["exec", "python", *arguments])}
        # Ray itself tells a job of any cluster that runs on the machine.
        variables = [f"RAY_ADDRESS={endpoint.address}"]
        if self._password is not None:
            variables.append(f"PGPASSFILE={self.cluster.pgpass}")
        command = shlex.join(["exec", "env", *variables, sys.executable, *arguments])
        return document | {"entrypoint": command}

    def stop(self, job: str) -> None:
        """Ask a job to stop: it is told with SIGINT, on other clusters with what they have. Raises JobsError."""
        endpoint = self.endpoint()
        if endpoint is not None:
            ask(endpoint, "POST", f"jobs/{quote(job)}/stop")

    def log(self, job: str) -> str:
        """What a job has said so far. Raises JobsError when it is not known, or the cluster is gone."""
        endpoint = self.endpoint()
        if endpoint is None:
            raise JobsError("the cluster that ran the job is gone, and its log with it")
        return str(ask(endpoint, "GET", f"jobs/{quote(job)}/logs")["logs"])
