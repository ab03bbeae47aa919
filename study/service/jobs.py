"""The jobs that run studies, on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from study.service.settings import Settings


@dataclass(frozen=True)
class Job:
    """A job as the cluster knows it; `status` is PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""

    id: str
    status: str
    message: str | None


class Jobs:
    """The jobs of this service's studies."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def table(self, _launches: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Job]:
        """Job id -> job, as far as the cluster can be reached."""
        return {}
