"""Groups of processes end with the one that started them."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from study.black_boxes import watchdog

SLEEP = "import time; time.sleep(120)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEP}"


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start_process(script: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", script]
        started.append(subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE))
        return started[-1]

    yield start_process
    for process in started:
        process.kill()
        process.communicate()


def test_it_ends_what_it_was_told_of_when_its_input_ends(
    start: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    ours, given_back, unknown = (start(SLEEP) for _ in range(3))
    with subprocess.Popen([sys.executable, "-I", "-S", watchdog.__file__], stdin=subprocess.PIPE) as script:
        assert script.stdin is not None
        script.stdin.write(f"+{ours.pid}\n+{given_back.pid}\n-{given_back.pid}\n".encode())
        script.stdin.flush()
        assert script.wait(30) == 0  # the half that stays is nobody's child
        time.sleep(0.3)
        assert ours.poll() is None
    assert ours.wait(30) == -signal.SIGTERM
    assert given_back.poll() is unknown.poll() is None


def test_who_ignores_sigterm_is_killed(
    start: Callable[[str], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.3)
    deaf = start(DEAF)
    assert deaf.stdout is not None
    assert deaf.stdout.readline() == b"deaf\n"
    assert watchdog.is_there(deaf.pid)
    watchdog.end({deaf.pid})
    assert deaf.wait(30) == -signal.SIGKILL
    assert not watchdog.is_there(deaf.pid)
