"""Small studies, and the command line as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from patience import PATIENCE

from study.cli import main

COMMAND = Path(sys.executable).with_name("tunability")
STUDY = """
name = "{name}"
workload = {{ name = "digits-mlp", steps = {steps} }}
optimizers = ["adam", "avagrad"]
space = {{ alpha = [0.001, 0.01, 0.1, 1], eps = [1e-8, 1e-4, 1] }}
seeds = 2
lanes = {lanes}
"""

WriteStudy = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def write_study(tmp_path: Path) -> WriteStudy:
    """Writes a study of 48 trials, too small to be compiled."""

    def write(name: str = "small", steps: int = 20, lanes: int = 4, old: str = "", new: str = "") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(STUDY.format(name=name, steps=steps, lanes=lanes).replace(old, new))
        return path

    return write


def start_command(*arguments: object) -> subprocess.Popen[str]:
    """The command line in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [str(COMMAND), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `tunability` with the given arguments; what a test that fails leaves running is killed."""
    with ExitStack() as left:

        def start(*arguments: object) -> subprocess.Popen[str]:
            process = start_command(*arguments)
            left.callback(end, process)
            return process

        yield start


def end(process: subprocess.Popen[str]) -> None:
    """Kill the process group of a command that still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@dataclass(frozen=True)
class RayHead:
    """A Ray cluster that somebody else started: where drivers join it, and its Jobs API."""

    process: subprocess.Popen[str]
    address: str
    jobs: str

    @contextmanager
    def with_node(
        self, *options: str, cpus: int = 0, hidden: Path | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """One more node, on this machine too, maybe where a folder is empty."""
        with start_ray(f"--address={self.address}", f"--num-cpus={cpus}", *options, hidden=hidden) as node:
            yield node


HIDING = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && cd / && exec "$@"']


@contextmanager
def start_ray(*options: str, hidden: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """`ray start`, until the block is left."""
    node = subprocess.Popen(
        [
            *([*HIDING, str(hidden)] if hidden else []),
            *(str(COMMAND.with_name("ray")), "start", "--block", "--disable-usage-stats", *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"},
    )
    try:
        assert any("Ray runtime started" in line for line in node.stdout or ())
        yield node
    finally:
        node.terminate()
        node.communicate(timeout=PATIENCE)


@pytest.fixture
def ray_head(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[RayHead]:
    """A cluster of two CPUs, or with the options of a test's parameter, on this machine that asks for no token."""
    has = getattr(request, "param", ["--num-cpus=2"])
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    # a socket's path may have 107 characters, fewer than a test's own folder takes
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        arguments = ["--head", f"--port={ports[0]}", *has, f"--temp-dir={folder}"]
        board = [f"--dashboard-port={ports[1]}", "--dashboard-agent-listen-port=0"]
        with start_ray(*arguments, *board) as head:
            yield RayHead(head, f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs `tunability ARGUMENTS` in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tunability", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main()
        return int(exit.value.code or 0), *capfd.readouterr()

    return run
