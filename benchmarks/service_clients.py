"""What `benchmarks/service.py` starts beside the service: clients that read at random, and listeners.

    python benchmarks/service_clients.py --port PORT --seconds 60 --clients 50 --listeners 200

Prints latencies by kind of request, errors and events as JSON. The token is that of TUNABILITY_TOKEN.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections import defaultdict

import aiohttp

STUDIES, SEEDS = 4, 29
"""Of the database: studies are called study-0, study-1, ..."""
PAUSE = 0.1
"""Mean pause of a client between two requests, in seconds."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--listeners", type=int, required=True)
    print(json.dumps(asyncio.run(load(parser.parse_args()))))


class Clients:
    """What clients ask for, at random; filters are made up anew, lists of trials are read page by page."""

    def __init__(self) -> None:
        self.studies = [f"study-{number}" for number in range(STUDIES)]
        self.times: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        self.events = 0
        self.seen: set[str] = set()

    def path(self, rng: random.Random, following: dict[str, str]) -> tuple[str, str]:
        """A kind of request and one of that kind; `following` are the client's cursors, by address of the list."""
        study = f"/api/v1/studies/{rng.choice(self.studies)}"
        match rng.randrange(10):
            case 0 | 1:
                return "studies", "/api/v1/studies"
            case 2:
                return "one study", study
            case 3 | 4 | 5:
                return "landscape", f"{study}/landscape"
            case 6 | 7:
                listed = f"{study}/trials?limit=50"
                cursor = following.get(listed)
                return "trials, page by page", f"{listed}&cursor={cursor}" if cursor else listed
            case 8:
                where = f"alpha < {10 ** rng.uniform(-5, 3):.6g} and seed < {rng.randrange(1, SEEDS)}"
                return "trials, filtered", f"{study}/trials?limit=50&where={where}"
            case _:
                order, column = (
                    rng.choice(["asc", "desc"]),
                    rng.choice(["validation_error", "alpha", "number"]),
                )
                return "trials, sorted", f"{study}/trials?limit=50&sort={column}&order={order}"

    def heard(self, kind: str, path: str, body: bytes, following: dict[str, str]) -> None:
        """Learn from an answer: names of studies, the next page."""
        if kind == "studies":
            self.studies = [study["name"] for study in json.loads(body)["studies"]]
        elif kind == "trials, page by page":
            cursor = json.loads(body)["next"]
            listed = path.partition("&cursor=")[0]
            following.pop(listed, None)
            if cursor:
                following[listed] = cursor


async def load(options: argparse.Namespace) -> dict[str, object]:
    """All clients and listeners, in this process, for so long or until SIGTERM: latencies by kind, errors, events."""
    base, found = f"http://127.0.0.1:{options.port}", Clients()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    session = aiohttp.ClientSession(
        headers={"authorization": f"Bearer {os.environ['TUNABILITY_TOKEN']}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=timeout,
    )

    async def client(number: int) -> None:
        rng, following = random.Random(number), dict[str, str]()
        while not over.is_set():
            kind, path = found.path(rng, following)
            found.seen.add(path)
            started = time.perf_counter()
            try:
                async with session.get(base + path) as reply:
                    body = await reply.read()
                    found.times[kind].append(time.perf_counter() - started)
                    if reply.status == 200:
                        found.heard(kind, path, body, following)
                    else:
                        found.errors.append(f"{reply.status} {path}")
            except aiohttp.ClientError as error:
                found.errors.append(f"{type(error).__name__} {path}")
            await asyncio.sleep(rng.expovariate(1 / PAUSE))

    async def listener() -> None:
        try:
            async with session.get(f"{base}/api/v1/events") as reply:
                async for line in reply.content:
                    found.events += line.startswith(b"event:")
        except aiohttp.ClientError as error:
            found.errors.append(f"{type(error).__name__} events")

    async with session:
        listeners = [asyncio.create_task(listener()) for _ in range(options.listeners)]
        await asyncio.sleep(1 if listeners else 0)
        clients = [asyncio.create_task(client(number)) for number in range(options.clients)]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), options.seconds)
        over.set()
        await asyncio.gather(*clients)
        broken = sum(task.done() for task in listeners)
        for task in listeners:
            task.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
    return {
        "times": found.times,
        "errors": found.errors,
        "events": found.events,
        "broken": broken,
        "distinct": len(found.seen),
    }


if __name__ == "__main__":
    main()
