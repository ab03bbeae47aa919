"""The state of a study, from the store, what is kept of its launch, and the jobs."""

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from search_spaces import SearchSpace
from storage.foreign import ForeignTrials, import_trials
from storage.store import open_store
from study.service.jobs.job import Job
from study.service.jobs.jobs import Job as JobRow
from study.service.jobs.jobs import Table
from study.service.studies.progress import judge_state

HERE = "this machine:folder"
SPEC = {"name": "small", "workload": "digits-mlp", "optimizers": ["adam", "avagrad"]}
KEPT = {
    "job": "j",
    "cluster": HERE,
    "asked": 0.0,
    "submitted": True,
    "started": 1.0,
    "before": 0,
    "stopped": False,
    "ended": None,
}
ELSEWHERE = KEPT | {"cluster": "another:folder"}
BROKE = {"code": 1, "reason": "failed in part: adam, seed 0, 4 trials: no", "log": ""}
DECIDE = {"of": "cost", "budget": 100}
SILENT = Table({}, HERE, "the cluster does not do what it was asked")


def running(status: str, message: str | None = None) -> Table:
    return Table({"j": JobRow("j", status, message)}, HERE)


NONE = Table({}, HERE)


@pytest.mark.parametrize(
    ("launch", "jobs", "complete", "state", "said"),
    [
        ({}, NONE, True, "done", None),
        ({}, NONE, False, "stopped", "no job is running it"),
        (KEPT, running("RUNNING"), False, "running", None),
        (KEPT | {"started": None}, running("RUNNING"), False, "running", "starting"),
        (KEPT, running("RUNNING"), True, "running", "ending"),
        (KEPT | {"tune": True}, running("RUNNING"), True, "running", "tuners are running"),
        (KEPT | {"decide": DECIDE}, running("RUNNING"), True, "running", "deciding"),
        (KEPT | {"ended": BROKE, "decide": DECIDE}, NONE, True, "failed", "failed in part"),
        (KEPT, running("PENDING"), False, "queued", "waiting for its turn"),
        (KEPT | {"stopped": True}, running("PENDING"), False, "stopped", "on request"),
        (KEPT | {"stopped": True}, running("RUNNING"), False, "running", None),
        (KEPT, running("FAILED", "out of memory"), False, "failed", "out of memory"),
        (KEPT | {"ended": BROKE}, running("FAILED", "last line"), False, "failed", "failed in part"),
        (KEPT | {"ended": BROKE}, NONE, False, "failed", "failed in part"),  # the cluster is gone
        (KEPT | {"ended": BROKE}, NONE, True, "done", None),
        (KEPT | {"ended": BROKE, "tune": True}, NONE, True, "failed", "failed in part"),
        (KEPT | {"ended": BROKE, "stopped": True}, NONE, False, "stopped", "on request"),
        (KEPT | {"ended": BROKE | {"code": 130}}, NONE, False, "stopped", "no job is running it"),
        (KEPT, NONE, False, "stopped", "no job is running it"),  # killed, with its cluster
        (KEPT, SILENT, False, "running", "does not do what it was asked"),
        (KEPT | {"started": None}, SILENT, False, "queued", "does not do what it was asked"),
        (ELSEWHERE, NONE, False, "running", "by the service whose cluster is another:folder"),
        (ELSEWHERE | {"started": None}, NONE, False, "queued", "another:folder"),
        (ELSEWHERE | {"stopped": True}, NONE, False, "stopped", "on request"),
        (ELSEWHERE | {"ended": BROKE}, NONE, False, "failed", "failed in part"),
        (KEPT | {"submitted": False, "asked": 1e12}, NONE, False, "queued", "the cluster is starting"),
        (KEPT | {"submitted": False}, NONE, False, "stopped", "no job is running it"),
    ],
)
def test_states(launch: dict[str, Any], jobs: Table, complete: bool, state: str, said: str | None) -> None:
    found, message = judge_state(complete, launch, jobs)
    assert found == state
    assert said in message if said and message else message == said


@pytest.mark.parametrize(
    ("launch", "eta", "rate"),
    [
        ({"started": 10, "before": 80}, 10, 1.0),  # 10 of 90 since it began, 10 to go
        ({"started": 10, "before": 90, "estimate": 25.0}, 15, None),
        ({"started": 10, "before": 90, "estimate": 5.0}, 0, None),
        ({"started": 10, "before": 90}, None, None),
        ({"started": None, "estimate": 5.0}, None, None),
    ],
)
def test_time_left(
    client: TestClient,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    launch: Any,
    eta: float | None,
    rate: float | None,
) -> None:
    now = time.time()
    stopped = SimpleNamespace(time=lambda: now)  # however busy the cores are
    monkeypatch.setattr("study.service.studies.progress.time", stopped)
    if launch["started"]:
        launch = launch | {"started": now - launch["started"]}
    with open_store(url, create=True) as store:
        for study in ("half", "small"):
            store.set_launch(study, ELSEWHERE | launch)
    half, small = client.get("/api/v1/studies").json()["studies"]
    assert half["eta_seconds"] == (None if eta is None else pytest.approx(eta))
    assert half["trials_per_second"] == (None if rate is None else pytest.approx(rate))
    assert (small["trials"], small["eta_seconds"]) == (100, None)  # nothing is left


TUNING = {"what": "tuning runs made", "before": 0, "since": -30}
RUNS_MADE = TUNING | {"landed": [-19, 4], "at": -3, "share": 0.6, "first_share": 0.2}
FURTHER = {"what": "further trials stored", "before": 0, "done": 30, "total": 90, "share": None}


@pytest.mark.parametrize(
    ("study", "launch", "eta"),
    [
        # 5 landed 60 s after the start, 5 in the 10 s since, each estimated at 1 s: 10 left at 15 / 10 s, then tuners
        ("half", {"before": 80, "pace": 1.0, "estimate": 40.0, "doing": {"landed": [-10, 85]}}, 15 + 20),
        (
            "half",
            {"before": 90, "pace": 3.0, "estimate": 50.0, "doing": None},
            30 + 20,
        ),  # it takes long to start
        # nothing is made yet, then 0.4 of the work in 16 s, beside a tenth that was estimated at 2 s, told 3 s ago
        ("small", {"doing": TUNING | {"landed": None, "share": None}}, 20 / 2),
        ("small", {"doing": TUNING | {"since": -5, "landed": None, "share": None}}, 20 - 5),
        ("small", {"doing": TUNING | {"landed": [-19, 4], "share": 0.6}}, 20 / 2),  # an older version's job
        ("small", {"doing": RUNS_MADE}, 0.4 * (16 + 2) / 0.5 - 3),
        ("small", {"doing": FURTHER | {"since": -30}}, 60),
    ],
)
def test_time_left_with_all_that_was_asked_for(
    client: TestClient, url: str, monkeypatch: pytest.MonkeyPatch, study: str, launch: Any, eta: float
) -> None:
    now, doing = time.time(), launch["doing"]
    stopped = SimpleNamespace(time=lambda: now)
    monkeypatch.setattr("study.service.studies.progress.time", stopped)
    if doing:
        doing = doing | {key: now + doing[key] for key in ("since", "at") if key in doing}
        if doing.get("landed"):
            doing["landed"] = [now + doing["landed"][0], doing["landed"][1]]
    told = ELSEWHERE | {"started": now - 60, "tune": True, "tuning_estimate": 20.0, "spec": SPEC}
    with open_store(url, create=True) as store:
        store.set_launch(study, told | launch | {"doing": doing})
    assert client.get(f"/api/v1/studies/{study}").json()["eta_seconds"] == pytest.approx(eta)


def test_a_stopped_tuning_keeps_and_tells_what_it_did(client: TestClient, url: str) -> None:
    with open_store(url, create=True) as store:
        store.set_launch("small", KEPT | {"tune": True, "spec": SPEC, "stopped": True})
        found = client.get("/api/v1/studies/small").json()
        assert (found["state"], found["trials"], found["tuning_runs"]) == ("stopped", 100, 12)
        assert found["message"] == "12 of 1,800 tuning runs are stored: resume it to make the others"
        tuning = {"tuners": ["random"], "replicates": 6}
        store.set_launch("small", {"spec": SPEC | {"tuning": tuning}, "asked": 1.0})
    client.app.state.backend.progress.forget()  # type: ignore[attr-defined]
    assert client.get("/api/v1/studies/small").json()["state"] == "done"


def test_what_a_job_does_is_kept_and_told(
    client: TestClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.service.jobs.job.SECONDS_BETWEEN_LOOKS", 0)
    monkeypatch.setattr("study.service.jobs.jobs.Jobs.look", lambda _: running("RUNNING"))
    job = Job("j", "small", url)
    decide = {"of": "separability", "budget": 100}
    with open_store(url, create=True) as store:
        store.set_launch("small", KEPT | {"decide": decide, "spec": SPEC})

        def doing() -> dict[str, Any]:
            client.app.state.backend.progress.forget()  # type: ignore[attr-defined]
            found: dict[str, Any] = store.launches()["small"]["doing"]
            return found

        job.trained(100, 50, 100)
        assert (doing()["what"], doing()["landed"]) == ("trials stored", None)
        job.trained(100, 60, 100)
        assert doing()["landed"][1] == 60
        job.trained(100, 100, 100)
        job.trained(100, 130, 190)
        assert (doing()["what"], doing()["done"], doing()["total"]) == ("further trials stored", 30, 90)
        said = client.get("/api/v1/studies/small").json()["message"]
        assert said == "deciding: 30 of 90 further trials stored"
        job.progressed("tuning runs made", 0, 400)
        job.shared(0.5)
        job.progressed("tuning runs made", 12, 400)
        assert (doing()["share"], doing()["first_share"]) == (0.5, 0.5)
        job.shared(0.7)
        job.progressed("tuning runs made", 100, 400)
        assert (doing()["share"], doing()["first_share"]) == (0.7, 0.5)
        said = client.get("/api/v1/studies/small").json()["message"]
        assert said == "tuners are running: 100 of 400 tuning runs made"


def test_one_that_is_told_to_stop_says_so(
    client: TestClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.service.jobs.jobs.Jobs.look", lambda _: running("RUNNING"))
    with open_store(url, create=True) as store:
        store.set_launch("half", KEPT | {"stopped": True})
        store.set_launch("small", KEPT)
    found = client.get("/api/v1/studies").json()["studies"]
    assert [(study["state"], study["stopping"]) for study in found] == [("running", True), ("running", False)]


def test_trials_that_land_from_elsewhere_are_told(client: TestClient, url: str, trials: Any) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    with open_store(url, create=True) as store:
        space = store.space("small")
        for name, given in (
            ("now", trials(0)),
            ("then", dataclasses.replace(trials(0), started=long_ago, finished=long_ago)),
        ):
            store.declare(
                name,
                {key: {} for key in ["adam"]},
                space=space,
                metric="error",
                spec={"seeds": 2},
                provenance={},
            )
            store.append(name, "adam", given)
    told = {study["name"]: study["message"] for study in client.get("/api/v1/studies").json()["studies"]}
    assert "trials are landing: it is run from elsewhere" in told["now"]
    assert "no job is running it" in told["then"]


def test_one_that_was_stopped_in_the_queue_counts_no_more() -> None:
    assert running("PENDING").alive(KEPT)
    assert not running("PENDING").alive(KEPT | {"stopped": True})
    assert running("RUNNING").alive(KEPT | {"stopped": True})
    assert not NONE.alive(KEPT)
    assert not NONE.alive({})
    assert NONE.alive(ELSEWHERE)


def test_a_job_learns_from_the_store_that_it_is_over(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.service.jobs.job.SECONDS_BETWEEN_LOOKS", 0)
    job = Job("j", "small", url)
    with open_store(url, create=True) as store:
        store.set_launch("small", KEPT)
        job.progressed("trials stored", 1, 2)
        for change in ({"stopped": True}, {"stopped": False, "job": "k"}):
            store.set_launch("small", change)
            with pytest.raises(KeyboardInterrupt):
                job.progressed("trials stored", 1, 2)


@pytest.mark.parametrize(
    ("spec", "code", "reason"),
    [({"optimizers": ["adm"]}, 2, "did you mean"), (None, 1, "KeyError: 'spec'")],
)
def test_how_a_job_ended_is_kept(
    url: str, spec: Any, code: int, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_store(url, create=True) as store:
        given = {} if spec is None else {"spec": store.spec("small") | spec}
        store.set_launch("small", KEPT | given | {"asked": time.time()})
        assert Job("j", "small", url).run() == code
        ended = store.launches()["small"]["ended"]
        assert ended["code"] == code
        assert reason in ended["reason"]
        assert reason in ended["log"].splitlines()[-1]
        assert Job("other", "small", url).run() == 130  # it is not this job's study
        assert store.launches()["small"]["ended"] == ended
    assert ("Traceback" in capfd.readouterr().err) == (code == 1)


def test_what_a_file_no_longer_names_is_not_shown(client: TestClient, url: str) -> None:
    with open_store(url, create=True) as store:
        space, spec = store.space("small"), store.spec("small")
        store.declare("small", {"avagrad": {}}, space=space, metric="error", spec=spec, provenance={})
        assert len(store.versions()["small"].last_trials) == 1
    found = client.get("/api/v1/studies/small").json()
    assert [each["name"] for each in found["optimizers"]] == ["avagrad"]
    assert found["optimizers"][0]["trials"] == 50


def test_trials_of_cells_that_the_study_has_no_longer_do_not_count(client: TestClient, url: str) -> None:
    with open_store(url, create=True) as store:
        spec, recipes = store.spec("half"), store.recipes("half")
        alphas = store.space("half").axes[0].values
        space = SearchSpace.from_table(
            {"alpha": [*alphas[:2], 77.0], "eps": list(store.space("half").axes[1].values)}
        )
        store.declare("half", recipes, space=space, metric="error", spec=spec, provenance={})
    adam, _ = client.get("/api/v1/studies/half").json()["optimizers"]
    assert (adam["trials"], adam["expected"]) == (20, 30)  # two of three values of alpha, two seeds


def test_scattered_trials_beside_grids(client: TestClient, url: str) -> None:
    source = np.random.default_rng(0)
    points = 10.0 ** source.uniform((-4, -8), (0, 0), (60, 2))
    values = ((np.log10(points) - (-2, -4)) ** 2).sum(axis=1) + source.normal(0, 0.01, 60)
    with open_store(url, create=True) as store:
        import_trials(store, ForeignTrials("here", ("lr", "wd"), points, values, "loss"), "found", "theirs")
    listed = {each["name"]: each for each in client.get("/api/v1/studies").json()["studies"]}
    assert set(listed) == {"small", "half", "found"}
    assert (listed["found"]["cells"], listed["found"]["trials"]) == (None, 60)
    (theirs,) = client.get("/api/v1/studies/found/landscape").json()["optimizers"]
    assert [axis["name"] for axis in theirs["surrogate"]] == ["lr", "wd"]
    assert np.shape(theirs["mean"]) == tuple(len(axis["values"]) for axis in theirs["surrogate"])
    assert (theirs["trials"], theirs["complete"]) == (60, True)
    best = theirs["best"]["coordinates"]
    assert (np.log10(best["lr"]), np.log10(best["wd"])) == pytest.approx((-2, -4), abs=0.5)
    (panel,) = client.get("/api/v1/panels?study=found").json()["panels"]
    assert (panel["surrogate"], panel["trials"], panel["expected"]) == (True, 60, 60)
    near = client.get("/api/v1/studies/found/optimizers/theirs/cell?at=lr%3D0.01&at=wd%3D1e-4").json()
    away = np.linalg.norm((np.log10(points) - (-2, -4)) / np.ptp(np.log10(points), axis=0), axis=1)
    assert near["nearest"] is True
    assert [trial["number"] for trial in near["trials"]] == np.argsort(away)[:5].tolist()
    assert near["curves"] == [[]] * 5
    for page in ("/", "/studies/found"):
        assert client.get(page).status_code == 200
    assert "60 scattered trials" in client.get("/").text
