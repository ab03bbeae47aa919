"""Blocks through Ray Tune: the only file that imports ray.

One Ray Tune trial is one block, one actor is one core, or what a black box's trial needs. Actors are reused, so a
worker imports torch and compiles once. A worker that dies gets its block again on a new one, up to `RETRIES` times.

Black boxes' trials that are shorter than what Ray Tune takes for one are handed out several at once, after a few were
timed. Each ends by itself; what a dead worker had is then handed out one by one.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import math
import os
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # they would write every curve to disk again
os.environ.setdefault(
    "TUNE_GLOBAL_CHECKPOINT_S", "3600"
)  # resuming is computed from the store, not from Ray's files
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C is ours to tell of
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import psutil
import ray
from ray import tune
from ray.tune.search import Searcher

from study.black_boxes import TrialError
from study.data_folder import DATA
from study.running.address import LaunchError, check_address, unreachable
from study.running.code import imported_code
from study.training.black_box import may_be_stopped
from study.training.block import Block, Outcome
from study.training.program import prepare_process
from study.training.trainer import NOWHERE, Trainer, attempt

logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are reported by us, a line each

RETRIES = 2
A_CORE: Mapping[str, float] = {"CPU": 1.0}
SHORT_SECONDS = 1.0
"""So long several black-box trials that are handed out at once are to take; Ray Tune takes a tenth of it for one."""
TIMED, MOST_AT_ONCE = 4, 200
"""Trials that are timed before, and the most that are handed out at once."""
SECONDS_HELD = 0.2
"""So often a worker that has ended is asked whether it may have the next block."""
SECONDS_TO_REUSE, MOST_SECONDS_TO_START = 1.0, 60.0
"""What has waited longer for an actor waits for a new one; and the longest that others wait for that."""
SECONDS_BETWEEN_LOOKS = 5.0
"""Between looks at whether the cluster's own processes are alive."""
Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")


CLUSTER_PROCESSES = ("raylet", "gcs_server")
"""Those without which a cluster does nothing."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raises LaunchError when a process of a cluster that was started here dies; Ray would wait for it for ever."""
    own = {p: p.name() for p in psutil.Process().children(recursive=True) if p.name() in CLUSTER_PROCESSES}
    over, lost = threading.Event(), list[str]()

    def look() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            for process, name in own.items():
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    lost.append(name)
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


class BlockTrainable(tune.Trainable):
    """Trains what it is given in one step; kept alive and given the next by `reset_config`."""

    def setup(self, config: dict[str, Any]) -> None:
        prepare_process()
        self.trainer = Trainer(device=config["device"], checkpoints=config["checkpoints"])
        self.blocks: Sequence[Block] = config["blocks"]
        self._following: Generator[Callable[[], Outcome], None, Outcome] | None = None
        self._ended: dict[str, Any] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._following is not None:  # it was stopped
            self._following.close()
            self.trainer.forget(self.blocks[0])
            self._following = None
        self.blocks, self._ended = new_config["blocks"], None
        return True

    def cleanup(self) -> None:
        if self._following is not None:
            self._following.close()

    def step(self) -> dict[str, Any]:
        """An outcome, or how it failed, for each block; those that it has no time for are left out.

        Of a block that may be stopped what is known so far, until it is done. Asked again after the end it waits.
        """
        if self._ended:
            time.sleep(SECONDS_HELD)
            return {**self._ended, "results": []}
        if may_be_stopped(self.blocks[0]):
            return self._point(self.blocks[0])
        started, results = time.monotonic(), list[Outcome | TrialError]()
        for block in self.blocks:
            try:
                results.append(attempt(self.trainer, block))
            except TrialError as error:
                results.append(error)
            if time.monotonic() - started > 2 * SHORT_SECONDS:
                break
        return self._end(results, time.monotonic() - started)

    def _point(self, block: Block) -> dict[str, Any]:
        self._following = self._following or self.trainer.follow(block)
        found: Outcome | TrialError
        try:
            return {"results": [next(self._following)()], "ended": False, "done": False}
        except StopIteration as end:
            found = end.value
        except TrialError as error:
            found = error
        self._following = None
        return self._end([found], SHORT_SECONDS)

    def _end(self, results: Sequence[Outcome | TrialError], seconds: float) -> dict[str, Any]:
        self._ended = {"ended": True, "count": len(results), "seconds": seconds, "done": False}
        return {**self._ended, "results": results}


class BlockSearcher(Searcher):
    """Hands Ray Tune the blocks in order; None among them means that more come after the next outcome."""

    def __init__(self, blocks: Iterator[Block | None], settings: dict[str, Any]) -> None:
        super().__init__()
        self._blocks = blocks
        self._settings = settings
        self._again = deque[Block]()
        self._out: dict[str, Sequence[Block]] = {}
        self._seconds = deque[float](maxlen=2 * TIMED)
        self._starting: dict[str, float] = {}
        self._done: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        if self._again:
            found = [self._again.popleft()]
        else:
            found = []
            for block in self._blocks:
                if block is None:
                    break
                found.append(block)
                if len(found) >= self._at_once(block):
                    break
            else:
                if not found:
                    return None if self._out else Searcher.FINISHED  # what is out may come back
        if not found:
            return None
        self._out[trial_id] = found
        self.starting(trial_id)
        return {"blocks": found, **self._settings}

    def _at_once(self, block: Block) -> int:
        """How many blocks like this one to hand out at once."""
        if block.recipe.method != "black-box" or may_be_stopped(block) or len(self._seconds) < TIMED:
            return 1
        mean = sum(self._seconds) / len(self._seconds)
        return max(1, min(int(SHORT_SECONDS / max(mean, 1e-9)), MOST_AT_ONCE))

    def reported(self, trial_id: str, blocks: int) -> None:
        """How many of the blocks that were handed out need not be again."""
        self._done[trial_id] = blocks

    def starting(self, trial_id: str) -> None:
        """What was handed out waits for an actor."""
        self._starting[trial_id] = time.monotonic()

    def started(self, trial_id: str) -> None:
        """An actor has what was handed out."""
        self._starting.pop(trial_id, None)

    def starting_for(self) -> float:
        """Seconds that something has been waiting for its actor."""
        return time.monotonic() - min(self._starting.values(), default=math.inf)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        blocks, done = self._out.pop(trial_id, ()), self._done.pop(trial_id, 0)
        self.started(trial_id)
        if done:
            if result and not error and not may_be_stopped(blocks[0]):
                self._seconds.append(result["seconds"] / result["count"])
            self._again.extend(blocks[done:])
        elif len(blocks) > 1:
            self._again.extend(blocks)

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a study is resumed by running it again")

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles a tuner for its own way of resuming, which is not ours

    def blocks_of(self, trial_id: str) -> Sequence[Block]:
        """What a running trial of Ray Tune's trains."""
        return self._out[trial_id]


class Stopper(tune.Stopper):
    """Stops trials that are hopeless; and those that have ended, once none waits for its actor to be started.

    For Ray Tune gives what waits to the actor of one that ends, and stops the other that is still importing torch: then
    blocks that take less than that would all be trained by the same worker, and the rest of the cluster do nothing.
    """

    def __init__(
        self, searcher: BlockSearcher, hopeless: Callable[[Block, Outcome], bool] | None = None
    ) -> None:
        self._searcher, self._hopeless = searcher, hopeless
        self._held_since: float | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        if not result["ended"]:
            (block,), (so_far,) = self._searcher.blocks_of(trial_id), result["results"]
            return self._hopeless is not None and self._hopeless(block, so_far)
        if self._searcher.starting_for() < SECONDS_TO_REUSE:
            self._held_since = None
            return True
        self._held_since = self._held_since or time.monotonic()
        return time.monotonic() - self._held_since > MOST_SECONDS_TO_START

    def stop_all(self) -> bool:
        return False

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as above


class Reporter(tune.Callback):
    """Passes outcomes and final failures on as they arrive, in the driver's process."""

    def __init__(
        self,
        searcher: BlockSearcher,
        on_outcome: Callable[[Block, Outcome], None],
        on_failure: Callable[[Block, TrialError], None],
    ) -> None:
        self._searcher = searcher
        self._on_outcome = on_outcome
        self._on_failure = on_failure
        self._reported = set[str]()
        self.error: Exception | None = None

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._searcher.started(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._searcher.starting(trial.trial_id)  # again, for its worker died

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as above; the callables hold the open store

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if trial.trial_id in self._reported or not (result["ended"] or result["done"]):
            return
        self._reported.add(trial.trial_id)
        self._searcher.reported(trial.trial_id, len(result["results"]))
        try:
            for block, found in zip(trial.config["blocks"], result["results"], strict=False):
                if isinstance(found, TrialError):
                    self._on_failure(block, found)
                elif may_be_stopped(block) and not result["ended"]:
                    self._on_outcome(block, replace(found, stopped=True))
                else:
                    self._on_outcome(block, found)
        except Exception as error:
            self.error = error  # Tune raises another one in its place
            raise

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if len(trial.config["blocks"]) > 1 or trial.trial_id in self._reported:
            return  # they are handed out again, one by one; or its worker died when all was done
        lines = (
            Path(trial.error_file).read_text(encoding="utf-8").strip().splitlines()
            if trial.error_file
            else []
        )
        reason = lines[-1].strip() if lines else "the worker died"
        try:
            self._on_failure(trial.config["blocks"][0], TrialError(reason, "\n".join(lines)))
        except Exception as error:
            self.error = error  # as above
            raise


@contextlib.contextmanager
def cluster(address: str | None, amounts: Mapping[str, float] = A_CORE) -> Iterator[int]:
    """Start a local cluster, or join the one at `address`; yields how many blocks it can train at once.

    To other machines the project's code and the user's goes along: what is imported by now and is not installed.
    `amounts` is what one of them needs, by Ray's names. SIGTERM is as Ctrl-C meanwhile.

    Raises LaunchError when it cannot be reached or has nothing to train on.
    """
    if address:
        check_address(address)
    before = signal.getsignal(signal.SIGTERM)
    try:
        connect(address)
        if address and has_other_machines():
            # on this one workers find the code where we do, and files beside it
            ray.shutdown()
            connect(address, {"py_modules": imported_code()})
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise unreachable(address, error) from None
    try:
        if threading.current_thread() is threading.main_thread():  # Ray has put a handler of its own there
            signal.signal(signal.SIGTERM, signal.default_int_handler)
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
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def connect(address: str | None, sent: dict[str, Any] | None = None) -> None:
    """Start a local cluster, or join the one at `address`; `sent` is Ray's runtime environment of the workers.

    Those of a cluster that others have started are told where the folder of all data is.
    """
    if address and DATA in os.environ:
        sent = {**(sent or {}), "env_vars": {DATA: os.environ[DATA]}}
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


def train_blocks(
    blocks: Iterable[Block | None],
    workers: int,
    device: str,
    amounts: Mapping[str, float] = A_CORE,
    *,
    on_outcome: Callable[[Block, Outcome], None],
    on_failure: Callable[[Block, TrialError], None],
    hopeless: Callable[[Block, Outcome], bool] | None = None,
    checkpoints: Mapping[str, Path] = NOWHERE,
) -> None:
    """Train `blocks` on the cluster of `cluster`, `workers` of them at once. A None among them means: ask again later.

    `amounts` is what each needs, by Ray's names.

    Every block ends in one call, in this process: `on_outcome`, or `on_failure` with the error when it failed `RETRIES`
    times again. A black box's trial that may be stopped early is when it is `hopeless(block, so far)`; checkpoints are
    kept in `checkpoints`, a folder for each optimizer. An exception of either call ends the run and passes through, as
    does Ctrl-C.
    """
    settings = {"device": device, "checkpoints": checkpoints}
    searcher = BlockSearcher(iter(blocks), settings)
    resources = {name if name == "memory" else name.lower(): amount for name, amount in amounts.items()}
    reporter = Reporter(searcher, on_outcome, on_failure)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(BlockTrainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=workers,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                stop=Stopper(searcher, hopeless),
                callbacks=[reporter],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            with watched():
                tuner.fit()
        except tune.TuneError:
            if reporter.error:
                raise reporter.error from None
            raise


def map_jobs(
    function: Callable[[Shared, Job], Result],
    shared: Shared,
    jobs: Sequence[Job],
    workers: int,
    amounts: Mapping[str, float] = A_CORE,
) -> Iterator[tuple[Job, Result]]:
    """Call `function` on what all jobs share and each job, `workers` at once on the cluster.

    Yields each job with its result as they finish. What is shared is sent once to a machine. `amounts` is what each
    needs, by Ray's names. What the function raises is raised here.
    """
    if not jobs:
        return
    task = ray.remote(num_cpus=amounts.get("CPU", 0.0), num_gpus=amounts.get("GPU", 0.0))(function)
    sent = ray.put(shared)
    waiting = list(jobs)[::-1]
    running: dict[Any, Job] = {}
    with watched():
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                running[task.remote(sent, job)] = job
            (done,), _ = ray.wait(list(running), num_returns=1)
            try:
                result = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            yield running.pop(done), result
