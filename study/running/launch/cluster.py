"""A cluster of this machine, or one that runs: started or joined, and looked after."""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from typing import Any, ClassVar

import ray

from study.data_folder import DATA
from study.running.address import LaunchError, check_address, unreachable
from study.running.children import CLUSTER_PROCESSES, Children
from study.running.code import imported_code

A_CORE: Mapping[str, float] = {"CPU": 1.0}
SECONDS_BETWEEN_LOOKS = 5.0
"""Between looks at whether the cluster's own processes are alive."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raises LaunchError when a process of a cluster that was started here dies; Ray would wait for it for ever."""
    own = Children(CLUSTER_PROCESSES)
    over, lost = threading.Event(), list[str]()

    def look() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            if dead := own.dead():
                lost.append(dead)
                _thread.interrupt_main()
                return

    if own and threading.current_thread() is threading.main_thread():
        threading.Thread(target=look, daemon=True).start()
    try:
        yield
    except BaseException:
        if lost:
            raise LaunchError(
                f"Ray's {lost[0]} on this machine died: what is stored stays, the same command goes on"
            ) from None
        raise
    finally:
        over.set()


@contextlib.contextmanager
def cluster(address: str | None, amounts: Mapping[str, float] = A_CORE) -> Iterator[int]:
    """Start a local cluster, or join the one at `address`; yields how many blocks it can train at once.

    To other machines the project's code and the user's goes along: what is imported by now and is not installed.
    `amounts` is what one of them needs, by Ray's names. SIGTERM is as Ctrl-C meanwhile.

    Raises LaunchError when it cannot be reached or has nothing to train on.
    """
    if address:
        check_address(address)
    before, begun = signal.getsignal(signal.SIGTERM), None
    try:
        begun = None if address else Beginning.take()
        interrupt_on_termination()
        try:
            if begun:
                begun.wait()
            else:
                connect(address)
            if address and has_other_machines():
                # on this one workers find the code where we do, and files beside it
                ray.shutdown()
                connect(address, {"py_modules": imported_code()})
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise unreachable(address, error) from None
        interrupt_on_termination()  # Ray has put a handler of its own there
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        slots = sum(min(fitting(node, name, amount) for name, amount in amounts.items()) for node in nodes)
        if slots == 0:
            wanted = ", ".join(f"{name} {amount:g}" for name, amount in amounts.items())
            largest = ", ".join(
                f"{name} {max((node.get(name, 0) for node in nodes), default=0):g}" for name in amounts
            )
            raise LaunchError(
                f"no machine of the cluster has what a trial needs: {wanted}; they have up to {largest}"
            )
        yield slots
    finally:
        if begun:
            begun.end()
        else:
            ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def interrupt_on_termination() -> None:
    """Have SIGTERM do what Ctrl-C does, in the main thread, where signals are handled."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


class Beginning:
    """A cluster of this machine that starts in a thread; the next `cluster(None)` of this process takes it."""

    _current: ClassVar[Beginning | None] = None

    def __init__(self) -> None:
        self._over, self._started = threading.Event(), Future[None]()
        # It stays as long as the cluster, for Linux ends Ray's processes when the thread that started them ends; and
        # nobody waits for it when the process ends.
        threading.Thread(target=self._start, daemon=True).start()

    @classmethod
    def begin(cls) -> Beginning | None:
        """Start one; None where one has begun, or Ray is up."""
        if cls._current or ray.is_initialized():
            return None
        cls._current = cls()
        return cls._current

    @classmethod
    def take(cls) -> Beginning | None:
        """The one that has begun, for one who asks first."""
        taken, cls._current = cls._current, None
        return taken

    def _start(self) -> None:
        try:
            connect(None)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._started.set_exception(error)
        else:
            self._started.set_result(None)
        self._over.wait()

    def wait(self) -> None:
        """Until it is up. Raises what starting it raised."""
        self._started.result()

    def end(self) -> None:
        """End it, as soon as it is up."""
        try:
            wait([self._started])
        finally:
            ray.shutdown()
            self._over.set()

    def end_untaken(self) -> None:
        """End it, unless somebody has taken it, who does."""
        if Beginning._current is self:
            Beginning.take()
            self.end()


def connect(address: str | None, sent: dict[str, Any] | None = None) -> None:
    """Start a local cluster, or join the one at `address`; `sent` is Ray's runtime environment of the workers.

    Those of a cluster that others have started are told where the folder of all data is.
    """
    if address and DATA in os.environ:
        sent = {**(sent or {}), "env_vars": {DATA: os.environ[DATA]}}
    logging.getLogger("ray").setLevel(
        logging.ERROR
    )  # it warns of SIGTERM in a thread, which is ours to handle
    ray.init(
        address or "local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env=sent,
    )


def has_other_machines() -> bool:
    """Whether the cluster has nodes with another address than this one."""
    here = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return any(node["Alive"] and node["NodeManagerAddress"] != here for node in nodes)


def fitting(node: Mapping[str, float], name: str, amount: float) -> int:
    """How often an amount of a resource fits into what a node has. A share of a GPU is of one, not of several."""
    has = node.get(name, 0.0)
    if name == "GPU" and amount < 1:
        return int(has) * int(1 / amount + 1e-9)
    return int(has / amount + 1e-9)
