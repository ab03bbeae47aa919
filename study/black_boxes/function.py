"""A user's function, called trial after trial in a process of its own, which is replaced when it dies."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from study.black_boxes import child
from study.black_boxes.box import Results, TrialError, last_of
from study.black_boxes.process import Process, how_it_ended
from study.spec import BlackBoxSpec

LINES_SHOWN = 20


class Function:
    """Calls a function for one trial after another."""

    def __init__(self, spec: BlackBoxSpec, base: Path) -> None:
        self._spec, self._base = spec, base
        self._running: tuple[Process, int] | None = None

    def run(self, arguments: Mapping[str, Any]) -> Results:
        """What a trial gives. Raises TrialError when it fails."""
        return last_of(self.follow(arguments))

    def follow(self, arguments: Mapping[str, Any]) -> Generator[Results, None, Results]:
        """The same, with what it has told so far after every point of its learning curve. Closed, it ends the trial."""
        process, requests = self._running or self._start()
        self._running = process, requests
        process.tail.clear()
        results = Results(self._spec.metric)
        deadline = None if self._spec.timeout is None else time.monotonic() + self._spec.timeout
        request = json.dumps({**arguments, "metric": self._spec.metric})
        try:
            os.write(requests, f"{request}\n".encode())
            yield from self._replies(process, deadline, results)
        except TrialError:
            raise  # the process waits for the next trial
        except (TimeoutError, BrokenPipeError, ValueError) as error:
            reason = self._reason(error, self.end())
            raise TrialError(reason, process.tail.text(LINES_SHOWN)) from None
        except BaseException:
            self.end()
            raise
        return results

    def _reason(self, error: Exception, code: int) -> str:
        if isinstance(error, TimeoutError):
            return f"it took longer than timeout = {self._spec.timeout:g} seconds"
        return how_it_ended(code) if isinstance(error, BrokenPipeError) else str(error)

    def _start(self) -> tuple[Process, int]:
        asked, requests = os.pipe()
        replies, told = os.pipe()
        paths = [*(path for path in sys.path if path), str(self._base)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **self._spec.environment}
        words = [sys.executable, "-P", "-u", child.__file__, self._spec.name, str(asked), str(told)]
        pipe = open(replies, "rb", buffering=0)  # noqa: SIM115 - read as long as the process runs
        try:
            process = Process(words, self._base, environment, {"replies": pipe}, (asked, told))
        finally:
            os.close(asked)
            os.close(told)
        return process, requests

    def _replies(
        self, process: Process, deadline: float | None, results: Results
    ) -> Generator[Results, None, None]:
        """Read replies until the trial is over, going on after each point."""
        open_line = b""
        for name, chunk in process.read(deadline):
            if name != "replies":
                continue
            *lines, open_line = (open_line + chunk).split(b"\n")
            for line in lines:
                kind, *told = json.loads(line)
                if kind == "point":
                    points = results.told
                    results.point(*told)
                    if results.told > points:
                        yield results
                elif kind == "metrics":
                    results.metrics = told[0]
                    return
                else:
                    reason, lines = told
                    output = process.tail.text(LINES_SHOWN // 2)
                    raise TrialError(
                        reason, "\n".join([*output.splitlines(), *lines.splitlines()[-LINES_SHOWN:]])
                    )
        raise BrokenPipeError

    def end(self) -> int:
        """End the process, if there is one, so that the next trial gets a new one; its exit code."""
        if self._running is None:
            return 0
        process, requests = self._running
        self._running = None
        os.close(requests)
        return process.end()
