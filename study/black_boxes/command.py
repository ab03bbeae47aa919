"""A user's command, run once a trial; what it prints tells its results."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from study.black_boxes.box import Results, TrialError, last_of
from study.black_boxes.process import Process, how_it_ended
from study.spec.black_box import OF_A_TRIAL, BlackBoxSpec

LINES_SHOWN = 20
LONGEST_LINE = 1 << 20
NO_OBJECT = b"x"
"""What a longer line is taken for."""


class Command:
    """Runs a command for one trial after another, each in a folder of its own if the study file names none."""

    def __init__(self, spec: BlackBoxSpec, base: Path) -> None:
        self._spec, self._base = spec, base

    def run(self, arguments: Mapping[str, Any]) -> Results:
        """What a trial gives. Raises TrialError when it fails: its own folder is kept then, and named."""
        return last_of(self.follow(arguments))

    def follow(self, arguments: Mapping[str, Any]) -> Generator[Results, None, Results]:
        """The same, with what it has told so far after every point of its learning curve. Closed, it ends the trial."""
        given = {**arguments["hyperparameters"], **{name: arguments.get(name) for name in OF_A_TRIAL}}
        if "checkpoints" in self._spec.placeholders:
            os.makedirs(arguments["checkpoints"], exist_ok=True)
        own = None if self._spec.folder is not None else Path(tempfile.mkdtemp(prefix="tunability-"))
        folder = own or self._base / (self._spec.folder or "")
        kept = False
        try:
            return (yield from self._run(folder, {**given, "folder": folder}))
        except TrialError as error:
            kept = own is not None
            raise TrialError(error.reason, error.lines, own) from None
        finally:
            if own is not None and not kept:
                shutil.rmtree(own, ignore_errors=True)

    def _run(self, folder: Path, given: Mapping[str, Any]) -> Generator[Results, None, Results]:
        words = [
            self._word(word.format(**{name: text_of(value) for name, value in given.items()}))
            for word in self._spec.words
        ]
        environment = {**os.environ, **self._spec.environment}
        environment["PATH"] = search_path(environment)
        reader = Reader(self._spec.metric)
        deadline = None if self._spec.timeout is None else time.monotonic() + self._spec.timeout
        words[0] = find_program(words[0], environment["PATH"], self._base) or words[0]
        try:
            process = Process(words, folder, environment)
        except (OSError, ValueError) as error:
            raise TrialError(f"{words[0]} cannot be started ({error})") from None
        reason = ""
        try:
            for name, chunk in process.read(deadline):
                if name == "output" and reader.feed(chunk):
                    yield reader.results
            reader.feed(b"\n")
        except TimeoutError:
            reason = f"it took longer than timeout = {self._spec.timeout:g} seconds"
        except ValueError as error:
            reason = str(error)
        finally:
            code = process.end()
        reason = reason or (how_it_ended(code) if code else "") or reader.lack()
        if reason:
            raise TrialError(reason, process.tail.text(LINES_SHOWN))
        return reader.results

    def _word(self, word: str) -> str:
        """A word that names a file or folder where the study was started, with its whole path."""
        if self._spec.folder is not None or word in (".", "..") or not word:
            return word
        there = self._base / word
        return str(there) if "\0" not in word and there.exists() else word


class Reader:
    """Finds JSON objects among the lines of an output."""

    def __init__(self, metric: str) -> None:
        self.results = Results(metric)
        self._found = False
        self._open = b""

    def feed(self, chunk: bytes) -> bool:
        """More of the output; whether a point of the curve was in it. Raises ValueError for a step that is none."""
        points = self.results.told
        first, newline, rest = chunk.partition(b"\n")
        self._open += first
        if len(self._open) > LONGEST_LINE:
            self._open = NO_OBJECT
        if not newline:
            return False
        self._line(self._open)
        *lines, self._open = rest.split(b"\n") if b"{" in rest else [rest.rpartition(b"\n")[2]]
        for line in lines:
            self._line(line)
        return self.results.told > points

    def _line(self, line: bytes) -> None:
        text = line.strip()
        if not (text.startswith(b"{") and text.endswith(b"}")):
            return
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return  # other output
        numbers = {name: float(value) for name, value in found.items() if is_number(value)}
        step = numbers.pop("step", None)
        if step is not None:
            self.results.point(step, numbers)
        self.results.metrics = numbers
        self._found = True

    def lack(self) -> str:
        """What is missing, in words; nothing where all is there."""
        metric = self.results.metric
        if not self._found:
            return f'it printed no JSON object: let a line such as {{"{metric}": 0.5}} be its last'
        if metric not in self.results.metrics:
            there = ", ".join(self.results.metrics) or "no number"
            return f"the last JSON object that it printed has no number {metric!r}: it has {there}"
        return ""


def is_number(value: Any) -> bool:
    """Whether it is a number that a float can be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        float(value)
    except OverflowError:  # an integer may be any
        return False
    return True


def text_of(value: Any) -> str:
    """A value as a word of a command line: the shortest text that reads back."""
    return repr(value) if isinstance(value, float) else str(value)


def search_path(environment: Mapping[str, str]) -> str:
    """Where programs are looked for: where a shell would, and last beside the Python that this is."""
    own = os.path.dirname(sys.executable)
    return os.pathsep.join(part for part in (environment.get("PATH", os.defpath), own) if part)


def find_program(word: str, path: str, base: Path) -> str | None:
    """The program that a command's first word names, by a path from `base` or by `path`; None where there is none."""
    if os.sep in word:
        there = base / word
        return str(there) if os.access(there, os.X_OK) and there.is_file() else None
    return shutil.which(word, path=path)
