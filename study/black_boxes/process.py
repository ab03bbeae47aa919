"""A process with everything that it starts, in a session of its own: its output is kept in bounds, it ends whole."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from study.black_boxes import watchdog

LINES_KEPT, CHARACTERS_KEPT = 200, 500
CHUNK = 1 << 18
PIPE_HOLDS = 1 << 22
"""More bytes than are in all pipes when a process ends: Linux has at most a megabyte in one."""
LOOK_SECONDS = 0.05
"""How often it is seen whether a process has ended whose pipes somebody else holds open."""


class Tail:
    """The last lines of an output, a bounded number of characters each."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=LINES_KEPT)
        self._open = b""

    def clear(self) -> None:
        self._lines.clear()
        self._open = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self._open = (self._open + chunk[-LINES_KEPT * CHARACTERS_KEPT :]).split(b"\n")
        self._lines.extend(line[-CHARACTERS_KEPT:] for line in lines[-LINES_KEPT:])
        self._open = self._open[-CHARACTERS_KEPT:]

    def text(self, lines: int) -> str:
        """The last lines that say something."""
        whole = [*self._lines, self._open]
        texts = (line.decode(errors="replace").rstrip() for line in whole)
        return "\n".join([text for text in texts if text][-lines:])


class Process:
    """A running process. `read` is to be called until it ends, and `end` in any case."""

    def __init__(
        self,
        words: Sequence[str],
        folder: str | Path,
        environment: Mapping[str, str],
        pipes: Mapping[str, IO[bytes]] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Raises OSError when it cannot be started. `pipes` are read beside its output, by their names."""
        started_watchdog()  # it takes a moment, in which this process may be killed
        self._popen = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=pass_fds,
            bufsize=0,
        )
        self._group = self._popen.pid
        tell_watchdog(f"+{self._group}")
        self.tail = Tail()
        self._selector = selectors.DefaultSelector()
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        named: dict[str, IO[bytes]] = {"output": self._popen.stdout, "errors": self._popen.stderr}
        self._pipes = {**named, **(pipes or {})}
        for name, pipe in self._pipes.items():
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, name)

    def read(self, deadline: float | None = None) -> Iterator[tuple[str, bytes]]:
        """What comes out of its pipes, until it has ended and they are empty. Raises TimeoutError at the deadline.

        Output goes to `tail`, too. A pipe that others hold open is read as far as it can be full when the process ends.
        """
        left = PIPE_HOLDS
        while left > 0:
            ended = self.ended
            ready = self._selector.select(0 if ended else LOOK_SECONDS) if self._selector.get_map() else []
            for key, _ in ready:
                chunk = os.read(key.fd, CHUNK)
                left -= len(chunk) if ended else 0
                if not chunk:
                    self._selector.unregister(key.fileobj)
                elif key.data in ("output", "errors"):
                    self.tail.feed(chunk)
                yield key.data, chunk
            if ended and not ready:
                return
            if not ended and not self._selector.get_map():
                time.sleep(LOOK_SECONDS)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError

    @property
    def ended(self) -> bool:
        """Whether it has; it is not waited for yet, so that its group keeps its number."""
        if self._popen.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self._popen.pid, flags) is not None

    def end(self) -> int:
        """End it, and whatever it left behind; its exit code, negative for a signal."""
        if self._popen.returncode is not None:
            return self._popen.returncode
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + watchdog.GRACE_SECONDS
        while not self.ended and time.monotonic() < deadline:
            time.sleep(0.01)
        self._signal(signal.SIGKILL)
        code = self._popen.wait()
        tell_watchdog(f"-{self._group}")
        self._selector.close()
        for pipe in self._pipes.values():
            pipe.close()
        return code

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):  # nobody is left
            os.killpg(self._group, number)


@functools.cache
def started_watchdog() -> IO[bytes]:
    """The pipe to this process's watchdog."""
    script = [sys.executable, "-I", "-S", watchdog.__file__]
    popen = subprocess.Popen(
        script, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, bufsize=0
    )
    popen.wait()  # the half that stays is nobody's child: nobody ends it with its parent
    assert popen.stdin is not None
    atexit.register(popen.stdin.close)
    return popen.stdin


def tell_watchdog(line: str) -> None:
    started_watchdog().write(f"{line}\n".encode())


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"it ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it was ended by signal {-code}"
