"""Studies launched on a real cluster: queued, run, stopped, resumed, while services come and go."""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest
from made_up_trials import store_all
from patience import PATIENCE, wait_until
from sqlalchemy import create_engine, make_url, text

from storage.records import TuningRun
from storage.store import open_store
from study.running import refuse
from study.service.answers.reads import Reads
from study.service.guard.problems import Problem
from study.service.jobs.cluster import SLOT
from study.service.server import NICER
from study.service.settings import Settings
from study.service.studies.launching import Launcher
from study.spec import SpecError, parse_spec
from study.training.resolve import resolve

COMMAND = Path(sys.executable).with_name("tunability")
TOKEN = "a-token-for-the-tests"
SECRET = "s3cret:word\\"
SPEC = {
    "name": "first",
    "workload": {"name": "digits-mlp", "steps": 20},
    "optimizers": ["adam"],
    "space": {"alpha": [0.001, 0.01, 0.1, 1], "eps": [1e-8, 1e-4, 1]},
    "seeds": 2,
    "lanes": 6,
    "tuning": {"tuners": ["random"], "trials": 5, "replicates": 4},
}
LONG = SPEC | {"name": "long", "workload": {"name": "digits-mlp", "steps": 3000}, "lanes": 1}
BREAKS = """
import pathlib, torch

class Breaks(torch.optim.SGD):
    def step(self, closure=None):
        if pathlib.Path(__file__).with_name("broken").exists():
            raise RuntimeError("no step is made")
        return super().step(closure)
"""


class Running:
    """A service as a process, and a client that knows its token."""

    def __init__(self, storage: str, state: Path, *options: str) -> None:
        self.state = state
        self.process = subprocess.Popen(
            [str(COMMAND), "serve", "--port", "0", *options],
            env={
                **os.environ,
                "XDG_STATE_HOME": str(state),
                "TUNABILITY_STORAGE": storage,
                "TUNABILITY_TOKEN": TOKEN,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(rf"open (http://127\.0\.0\.1:\d+/)\?token={TOKEN}\n", line)
        assert found, line
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        headers = {"authorization": f"Bearer {TOKEN}"}
        self.client = httpx2.Client(base_url=f"{found[1]}api/v1", headers=headers, timeout=PATIENCE)

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(self.process.stdout)

    def end(self, sig: signal.Signals) -> str:
        """End the service; everything it said after its address."""
        self.client.close()
        self.process.send_signal(sig)
        self.process.wait(PATIENCE)
        self._reader.join(30)
        self.process.stdout.close()  # type: ignore[union-attr]
        return "".join(self.said)

    def study(self, name: str) -> dict[str, Any]:
        answer = self.client.get(f"/studies/{name}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def until(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while not wanted(found := self.study(name)):
            assert time.monotonic() < deadline, (found, self.client.get(f"/studies/{name}/log").text)
            time.sleep(0.2)
        return found


def heads(state: Path) -> list[int]:
    """Process ids of the clusters whose state is in a folder."""
    shown = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True
    ).stdout
    return [
        int(line.split()[0])
        for line in shown.splitlines()
        if "study.service.jobs.head" in line and str(state) in line
    ]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A folder for services' state; no cluster of it is left behind."""
    yield tmp_path / "state"
    for process in heads(tmp_path / "state"):
        os.kill(process, signal.SIGTERM)


@pytest.fixture
def serve(state: Path) -> Iterator[Callable[[str], Running]]:
    """Starts services of a database; none is left behind."""
    started: list[Running] = []

    def start(storage: str, *options: str) -> Running:
        started.append(Running(storage, state, *options))
        return started[-1]

    yield start
    for service in started:
        if service.process.returncode is None:
            service.end(signal.SIGKILL)


class NoCluster:
    """Takes jobs, and never runs them: `living` are those that are queued or running."""

    own, name = False, "made up"

    def __init__(self) -> None:
        self.living: set[str] = set()
        self.submitted: list[str] = []

    def look(self) -> "NoCluster":
        return self

    def alive(self, launch: dict[str, Any]) -> bool:
        return launch.get("job") in self.living

    def submit(self, job: str, _study: str) -> None:
        self.submitted.append(job)
        self.living.add(job)


def test_without_trials_another_spec_is_another_study(url: str) -> None:
    cluster, longer = NoCluster(), SPEC | {"seeds": 3}
    launcher = Launcher(Settings(url, token=TOKEN), Reads(url), cluster)  # type: ignore[arg-type]
    assert launcher.create(SPEC, False) == ("first", True)
    with pytest.raises(Problem, match="first is queued or running with another spec: stop it first"):
        launcher.create(longer, False)
    cluster.living.clear()  # it failed before its first trial, say
    assert launcher.create(SPEC, False) == ("first", False)
    assert len(cluster.submitted) == 1
    assert launcher.create(longer, False) == ("first", True)
    assert launcher.create(longer, False) == ("first", False)
    assert len(cluster.submitted) == 2
    with open_store(url, create=False) as store:
        assert store.spec("first")["seeds"] == 3
        launch = store.launches()["first"]
    assert (launch["job"], launch["spec"]["seeds"], launch["submitted"]) == (
        cluster.submitted[1],
        3,
        True,
    )


def test_a_gpu_that_there_is_not_is_refused_unless_others_train(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refuse, "DEVICES", ())
    cluster, given = NoCluster(), SPEC | {"device": "cuda"}
    launcher = Launcher(Settings(url, token=TOKEN), Reads(url), cluster)  # type: ignore[arg-type]
    for ask in (launcher.plan, lambda spec: launcher.create(spec, False)):
        with pytest.raises(
            SpecError, match=r'device = "cuda" asks for a GPU, and this machine has none'
        ) as told:
            ask(given)
        assert [each["location"] for each in told.value.errors] == ["device"]
    assert cluster.submitted == []
    store_all(resolve(parse_spec(SPEC)), url)
    assert launcher.parse(given).spec.device == "cuda"  # nothing is left to train
    other = Settings(url, token=TOKEN, address="http://there:8265")
    assert Launcher(other, Reads(url), cluster).parse(given | {"name": "new"}).name == "new"  # type: ignore[arg-type]


def test_what_is_to_be_decided_is_told_to_the_job(url: str) -> None:
    cluster = NoCluster()
    launcher = Launcher(Settings(url, token=TOKEN, max_trials=100), Reads(url), cluster)  # type: ignore[arg-type]
    given = SPEC | {"optimizers": ["adam", "avagrad"]}
    launcher.create(given, tune=False)
    price = launcher.price("first", "separability", 50)
    assert (price["own"], price["spent"], price["step"], price["most"]) == (48, 0, None, 50)
    with pytest.raises(Problem, match="may have 100 trials here, not 101"):
        launcher.decide("first", "separability", 53)
    with pytest.raises(Problem, match="first is queued or running: decide when it is done"):
        launcher.decide("first", "cost", 50)
    cluster.living.clear()
    launcher.decide("first", "separability", 50)

    def launch() -> dict[str, Any]:
        with open_store(url, create=False) as store:
            return dict(store.launches()["first"])

    assert (launch()["decide"], launch()["tune"]) == ({"of": "separability", "budget": 50}, False)
    cluster.living.clear()
    launcher.resume("first", tune=False)  # it was stopped: it goes on to decide
    assert (len(cluster.submitted), launch()["decide"]["budget"]) == (3, 50)
    cluster.living.clear()
    store_all(resolve(parse_spec(given)), url)
    with open_store(url, create=True) as store:
        store.set_launch("first", {"ended": {"code": 0, "reason": "done", "log": ""}})
    launcher.resume("first", tune=False)
    assert len(cluster.submitted) == 3
    launcher.decide("first", "cost", 50)
    assert (launch()["decide"], launch()["tune"]) == ({"of": "cost", "budget": 50}, True)


@pytest.mark.slow
def test_studies_go_on_while_services_come_and_go(
    tmp_path: Path, state: Path, serve: Callable[[str], Running]
) -> None:
    storage = f"sqlite:///{tmp_path}/tunability.db"
    service = serve(storage)
    created = service.client.post("/studies?tune=true", json=LONG)
    assert created.status_code == 201, created.text
    assert created.headers["location"] == "/api/v1/studies/long"
    assert created.json()["state"] in ("queued", "running")
    queued = service.client.post("/studies", json=SPEC | {"name": "waits"})
    assert (queued.status_code, queued.json()["state"]) == (201, "queued")
    for path, more in (("/studies", {"json": SPEC | {"name": "waits"}}), ("/studies/waits/resume", {})):
        refused = service.client.post(f"{path}?tune=true", **more)  # type: ignore[arg-type]
        assert refused.status_code == 409
        assert "waits is queued or running without its tuners" in refused.json()["detail"]

    again = service.client.post("/studies", content=service.study("long")["toml"], headers=TOML)
    assert (again.status_code, again.json()["job"]) == (200, created.json()["job"])
    other = service.client.post("/studies", json=LONG | {"seeds": 3})
    assert other.status_code == 409
    assert re.search(
        r"seeds = 2 there, 3 here|long is queued or running with another spec: stop it first",
        other.json()["detail"],
    )
    refused = service.client.delete("/studies/long?confirm=long")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "long is queued or running: stop it first",
    )

    service.until("long", lambda study: study["trials"] > 0)
    (head,), priority = heads(state), os.nice(0)
    family = psutil.Process(head).children(recursive=True)
    assert {each.nice() for each in family if "Trainable" in each.name()} == {priority}
    assert psutil.Process(service.process.pid).nice() == min(priority + NICER, 19)  # studies come first
    service.end(signal.SIGKILL)
    service = serve(storage)
    found = service.study("long")
    assert (found["state"], service.study("waits")["state"]) == ("running", "queued")
    assert found["eta_seconds"] > 0
    assert found["trials_per_second"] > 0
    service.until("long", lambda study: study["trials"] > found["trials"])

    stopped = service.client.post("/studies/waits/stop").json()
    assert (stopped["state"], stopped["trials"]) == ("stopped", 0)
    assert service.client.post("/studies/waits/stop").status_code == 409
    service.client.post("/studies/long/stop")
    stopped = service.until("long", lambda study: study["state"] == "stopped")
    assert 0 < stopped["trials"] < 24
    assert stopped["message"] == "stopped on request: resume it to go on"
    log = service.client.get("/studies/long/log").json()["log"]
    assert log.endswith("long: stopped\n"), log
    same = service.client.post("/studies", json=LONG)
    assert same.json()["state"] == "stopped"  # it starts nothing
    assert service.client.delete("/studies/waits").status_code == 400
    assert service.client.delete("/studies/waits?confirm=waits").status_code == 204
    assert service.client.get("/studies/waits").status_code == 404

    service.client.post("/studies/long/resume")
    service.until("long", lambda study: study["state"] == "running")
    said = service.end(signal.SIGINT)
    assert service.process.returncode == 0
    assert "long: goes on without the service" in said
    assert TOKEN not in said
    wait_until(lambda: not heads(state))  # it ends when the study is done, with no service to tell it
    with open_store(storage, create=False) as store:
        assert len(store.trials("long")) == 24
    service = serve(storage)
    done = service.study("long")
    assert (done["state"], done["tuning_runs"], done["message"]) == ("done", 4, None)
    assert service.client.get("/studies/long/cost?target=1").json()["rows"][0]["replicates"] == 4
    service.end(signal.SIGTERM)


TOML = {"content-type": "application/toml"}


@pytest.fixture
def other_cluster() -> Iterator[Callable[[], None]]:
    """Starts another Ray cluster on this machine, as a `tunability run` has one; waits until it is there."""
    code = (
        "import ray; ray.init('local', num_cpus=1, include_dashboard=False); print('up', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        output = process.stdout
        assert output is not None

        def there() -> None:
            assert output.readline() == "up\n"

        yield there
        process.communicate("\n")


@pytest.mark.slow
def test_a_databases_password_is_never_shown(
    other_cluster: Callable[[], None],
    server: str,
    run_sql: Callable[..., None],
    state: Path,
    serve: Callable[[str], Running],
) -> None:
    run_sql(server, "CREATE DATABASE studies", f"CREATE ROLE tuner LOGIN PASSWORD '{SECRET}'")
    run_sql(server, "ALTER DATABASE studies OWNER TO tuner")
    only_by_password(server, run_sql)
    url = make_url(server).set(username="tuner", password=SECRET, database="studies")
    storage = url.render_as_string(hide_password=False)
    service = serve(storage)
    try:
        other_cluster()  # Ray has fixed ports, and tells jobs of any cluster it finds
        created = service.client.post("/studies", json=SPEC)
        assert created.status_code == 201, created.text
        processes = subprocess.run(
            ["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True
        ).stdout
        done = service.until("first", lambda study: study["state"] not in ("queued", "running"))
        assert (done["state"], done["trials"], done["message"]) == ("done", 24, None)
        assert "24 of 24 trials stored\n" in service.client.get("/studies/first/log").json()["log"]
        answers = [
            service.client.get(path).text for path in ("/studies", "/studies/first", "/studies/first/log")
        ]
        answers.append(service.client.get("/studies/nothing").text)
        folder = next((state / "tunability").iterdir())
        cluster = json.loads((folder / "cluster.json").read_text())
        token = (folder / "token").read_text()
        headers = {"authorization": f"Bearer {token}"}
        jobs = httpx2.get(f"{cluster['url']}/api/jobs/", headers=headers)
        assert "study.service.jobs.job" in jobs.text
        assert httpx2.get(f"{cluster['url']}/api/jobs/").status_code == 401
        files = Path((folder / "files").read_text())  # Ray's: sockets, logs
        assert list((files / "ray").glob("session_*/sockets/*"))
        for path in (folder, *folder.iterdir(), files):
            assert path.stat().st_mode & 0o077 == 0, path
        in_use = (folder / "in-use").open()
        fcntl.flock(in_use, fcntl.LOCK_SH)  # as another service has it: the cluster stays until it is stopped
    finally:
        said = service.end(signal.SIGINT)
    for shown in (*answers, jobs.text, said, processes):
        assert SECRET not in shown
        assert "s3cret" not in shown
    with in_use:
        stopped = subprocess.run(
            [str(COMMAND), "serve", "--stop-cluster"],
            env={**os.environ, "XDG_STATE_HOME": str(state), "TUNABILITY_STORAGE": storage},
            capture_output=True,
            text=True,
            check=True,
        )
    assert stopped.stdout == "stopped\n"
    assert heads(state) == []
    assert not files.exists()


def test_what_a_killed_cluster_left_is_removed_by_the_next(tmp_path: Path) -> None:
    from study.service.jobs.head import FILES, remove_left

    left, other = tmp_path / "tunability-abc", tmp_path / "somebody-s"
    for folder in (left, other):
        (folder / "ray").mkdir(parents=True)
        (tmp_path / FILES).write_text(str(folder))
        remove_left(tmp_path)
    assert not left.exists()
    assert other.exists()
    (tmp_path / FILES).unlink()
    remove_left(tmp_path)  # nothing to do


@pytest.mark.slow
def test_how_a_study_failed_is_known_when_the_cluster_is_gone(
    tmp_path: Path, state: Path, serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks.py").write_text(BREAKS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    storage = f"sqlite:///{tmp_path}/tunability.db"
    service = serve(storage, "--allow-imports")
    spec = SPEC | {
        "optimizers": ["breaks:Breaks"],
        "space": {"lr": [0.1]},
        "seeds": 1,
        "lanes": 1,
        "workload": {"name": "digits-mlp", "steps": 2},
    }
    answer = service.client.post("/studies", json=spec)
    assert answer.status_code == 201, answer.text
    (tmp_path / "broken").touch()  # the job has to start first
    failed = service.until("first", lambda study: study["state"] not in ("queued", "running"))
    reason = "breaks:Breaks cannot train digits-mlp (RuntimeError: no step is made)"
    assert (failed["state"], failed["message"]) == ("failed", reason)
    service.end(signal.SIGINT)
    wait_until(lambda: not heads(state), 60)
    service = serve(storage)
    found = service.study("first")
    assert (found["state"], found["message"], found["job"]) == ("failed", reason, failed["job"])
    assert service.client.get("/studies/first/log").json()["log"].endswith(f"error: {reason}")
    service.end(signal.SIGTERM)


@pytest.mark.slow
def test_a_cluster_that_died_ends_and_the_next_study_starts_another(
    tmp_path: Path, state: Path, serve: Callable[[str], Running]
) -> None:
    service = serve(f"sqlite:///{tmp_path}/tunability.db")
    assert service.client.post("/studies", json=LONG).status_code == 201
    service.until("long", lambda study: study["state"] == "running")
    (head,) = heads(state)
    files = Path(next((state / "tunability").glob("*/files")).read_text())
    below = psutil.Process(head).children(recursive=True)
    (raylet,) = [process for process in below if process.name() == "raylet"]
    raylet.kill()
    over = service.until("long", lambda study: study["state"] not in ("queued", "running"))
    assert over["state"] == "stopped"
    assert "resume it" in over["message"]
    assert psutil.wait_procs([psutil.Process(head)] if psutil.pid_exists(head) else [], 30)[1] == []
    assert not files.exists()
    assert service.client.post("/studies", json=SPEC).status_code == 201
    service.until("first", lambda study: study["state"] == "done")
    assert head not in heads(state)
    service.end(signal.SIGINT)


def only_by_password(server: str, run_sql: Callable[..., None]) -> None:
    """Have the server ask the role `tuner` for its password."""
    engine = create_engine(server)
    with engine.connect() as connection:
        rules = Path(connection.execute(text("SHOW hba_file")).scalar_one())
    engine.dispose()
    rules.write_text("local all tuner scram-sha-256\nhost all tuner all scram-sha-256\n" + rules.read_text())
    run_sql(server, "SELECT pg_reload_conf()")


@pytest.mark.slow
def test_a_running_cluster_by_its_address(
    tmp_path: Path, state: Path, serve: Callable[..., Running], ray_head: Any
) -> None:
    service = serve(f"sqlite:///{tmp_path}/tunability.db", "--address", ray_head.jobs)
    assert service.client.post("/studies", json=SPEC).status_code == 201
    done = service.until("first", lambda study: study["state"] not in ("queued", "running"))
    assert (done["state"], done["trials"], done["message"]) == ("done", 24, None)
    assert "24 of 24 trials stored\n" in service.client.get("/studies/first/log").json()["log"]
    with ray_head.with_node(f"--resources={json.dumps({SLOT: 1})}"):  # now studies wait for one another
        assert service.client.post("/studies", json=LONG).status_code == 201
        assert service.client.post("/studies", json=SPEC | {"name": "waits"}).status_code == 201
        service.until("long", lambda study: study["trials"] > 0)
        assert service.study("waits")["state"] == "queued"
        service.client.post("/studies/long/stop")
        stopped = service.until("long", lambda study: study["state"] == "stopped")
        assert 0 < stopped["trials"] < 24
        done = service.until("waits", lambda study: study["state"] not in ("queued", "running"))
        assert (done["state"], done["trials"]) == ("done", 24)
    said = service.end(signal.SIGINT)
    assert "goes on" not in said
    assert heads(state) == []
    assert ray_head.process.poll() is None


def test_the_service_ends_at_once_with_200_listeners(original: Path, serve: Callable[[str], Running]) -> None:
    service = serve(f"sqlite:///{original}")
    address = str(service.client.base_url.copy_with(path="/")), {"authorization": f"Bearer {TOKEN}"}
    heard: list[Iterator[bytes]] = []
    with contextlib.ExitStack() as streams:
        limits = httpx2.Limits(max_connections=None)
        client = streams.enter_context(httpx2.Client(base_url=address[0], headers=address[1], limits=limits))
        for _ in range(200):
            answer = streams.enter_context(client.stream("GET", "api/v1/events"))
            assert answer.status_code == 200
            heard.append(answer.iter_raw())  # one that is let go closes its stream
            assert b"retry" in next(heard[-1])
        assert "timeout graceful shutdown exceeded" not in service.end(signal.SIGINT)
    assert service.process.returncode == 0


def test_it_ends_at_once_while_costs_are_computed(url: str, state: Path, tmp_path: Path) -> None:
    """Processes that replay would keep its output open, and whoever reads that would wait for them."""
    with open_store(url, create=True) as store:
        space = store.space("small")
        cells = [np.random.default_rng(k).permutation(25)[:20] for k in range(6)]
        runs = [TuningRun("gp", k, "seed", "free", 2, space, 20, order) for k, order in enumerate(cells)]
        for optimizer in ("adam", "avagrad"):
            store.append_runs("small", optimizer, runs)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TUNABILITY_CACHE", str(tmp_path / "cache"))  # nothing is kept of earlier replays
        service = Running(url, state)

    def ask() -> None:
        with contextlib.suppress(httpx2.HTTPError):
            service.client.get("/studies/small/cost")

    asking = threading.Thread(target=ask)
    asking.start()
    own = psutil.Process(service.process.pid)
    wait_until(
        lambda: any("loky" in " ".join(each.cmdline()) for each in own.children(recursive=True)),
        alive=asking.is_alive,
    )
    children = own.children(recursive=True)
    own.terminate()
    asking.join(60)
    service.process.wait(20)
    assert not psutil.wait_procs(children, timeout=10)[1]
    service.end(signal.SIGTERM)
