"""The jobs that run studies: Ray's Jobs API, over HTTP."""

from __future__ import annotations

import json
import os
import shlex
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import anyio.to_thread

from study.service.cluster import SLOT, Cluster, ClusterError, Endpoint
from study.service.settings import Settings, without_password
from study.service.shared import Shared

TIMEOUT_SECONDS = {"GET": 10.0, "POST": 60.0}
"""A cluster that just started takes its time for the first job."""
FRESH_SECONDS = 1.0
ALIVE = ("PENDING", "RUNNING")
WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class JobsError(ClusterError):
    """The cluster does not answer, or refuses."""


@dataclass(frozen=True)
class Job:
    """A job as the cluster knows it; `status` is PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""

    id: str
    status: str
    message: str | None


def ask(endpoint: Endpoint, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
    """What the Jobs API answers. Raises JobsError when there is no answer, or none with status 200."""
    headers = {"content-type": "application/json"}
    if endpoint.token is not None:
        headers["authorization"] = f"Bearer {endpoint.token}"
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(f"{endpoint.url}/api/jobs/{path}", data, headers, method=method)
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
        for each in ask(endpoint, "GET", "")
        if each.get("submission_id")
    ]


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
        self._table = Shared(self._take, FRESH_SECONDS)
        self.problem: str | None = None

    @property
    def own(self) -> bool:
        """Whether the cluster is the service's own."""
        return self._settings.address is None

    def endpoint(self) -> Endpoint | None:
        """The cluster, unless it is an own one that does not run."""
        if self._settings.address is not None:
            return Endpoint(self._settings.address.rstrip("/"), os.environ.get("RAY_AUTH_TOKEN"))
        return self.cluster.find()

    async def table(self) -> Mapping[str, Job]:
        """Job id -> job, at most a second old; empty without a cluster, and `problem` says if it does not answer."""
        return await self._table.get()

    def forget(self) -> None:
        """Ask the cluster again next time."""
        self._table.forget()

    async def _take(self) -> Mapping[str, Job]:
        try:
            known = await anyio.to_thread.run_sync(self.read)
            self.problem = None
        except JobsError as error:
            known, self.problem = {}, str(error)
        return known

    def read(self) -> dict[str, Job]:
        """Job id -> job, as it is now. Raises JobsError when there is a cluster and it does not answer."""
        endpoint = self.endpoint()
        return {job.id: job for job in list_jobs(endpoint)} if endpoint else {}

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
        ask(endpoint, "POST", "", self._submission(job, study, endpoint))

    def _submission(self, job: str, study: str, endpoint: Endpoint) -> dict[str, Any]:
        arguments = ["-m", "study.service.job", job, study, self._bare]
        document: dict[str, Any] = {"submission_id": job, "metadata": {"study": study}}
        if not self.own:
            return document | {"entrypoint": shlex.join(["exec", "python", *arguments])}
        # Ray itself tells a job of any cluster that runs on the machine.
        variables = [f"RAY_ADDRESS={endpoint.address}"]
        if self._password is not None:
            variables.append(f"PGPASSFILE={self.cluster.pgpass}")
        command = shlex.join(["exec", "env", *variables, sys.executable, *arguments])
        return document | {"entrypoint": command, "entrypoint_resources": {SLOT: 1}}

    def stop(self, job: str) -> None:
        """Ask a job to stop: it is told with SIGINT, on other clusters with what they have. Raises JobsError."""
        endpoint = self.endpoint()
        if endpoint is not None:
            ask(endpoint, "POST", f"{quote(job)}/stop")

    def log(self, job: str) -> str:
        """What a job has said so far. Raises JobsError when it is not known, or the cluster is gone."""
        endpoint = self.endpoint()
        if endpoint is None:
            raise JobsError("the cluster that ran the job is gone, and its log with it")
        return str(ask(endpoint, "GET", f"{quote(job)}/logs")["logs"])
