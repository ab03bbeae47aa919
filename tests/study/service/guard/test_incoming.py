"""Specs over HTTP: what is refused, and what a form is told; nothing that they name is imported unless allowed."""

import json
import secrets
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from search_spaces import SearchSpace
from storage.store import open_store
from study.running import refuse
from study.service.app import create_app
from study.service.settings import Settings
from study.spec import to_toml

TOKEN = "a-token-for-the-tests"
SPEC: dict[str, Any] = {
    "name": "new",
    "workload": "digits-mlp",
    "optimizers": ["adam", {"name": "avagrad", "betas": [0.9, 0.99]}],
    "space": {"alpha": [0.01, 0.1], "eps": {"low": 1e-8, "high": 1, "num": 5, "scale": "log"}},
    "seeds": 2,
}
TRAP = "import pathlib; pathlib.Path(__file__).with_name('sprung').touch()"


def test_a_plan_and_its_file(client: TestClient) -> None:
    answer = client.post("/api/v1/plan", json=SPEC)
    plan = answer.json()
    assert answer.status_code == 200, plan
    assert (plan["trials"], plan["stored"], plan["to_train"]) == (40, 0, 40)
    assert plan["estimated_seconds"] > 0
    again = client.post("/api/v1/plan", content=plan["toml"], headers={"content-type": "application/toml"})
    assert again.json()["toml"] == plan["toml"]
    assert tomllib.loads(plan["toml"])["optimizers"] == SPEC["optimizers"]
    assert [study["name"] for study in client.get("/api/v1/studies").json()["studies"]] == ["half", "small"]


@pytest.mark.parametrize(
    ("changes", "location", "detail"),
    [
        ({"seeds": 0}, "seeds", "seeds = 0 is not allowed"),
        ({"seed": 1}, "seed", "unknown key 'seed' (did you mean 'seeds'?)"),
        ({"workload": {"name": "digits-mlp", "steps": "many"}}, "workload.steps", "workload.steps = 'many'"),
        ({"optimizers": ["adm"]}, "optimizers.0", "unknown optimizer 'adm' (did you mean 'adam'?)"),
        ({"space": {"alpha": [1, 1]}}, "space", "has the value 1 twice"),
        ({"optimizers": []}, "", "optimizers is empty"),
    ],
)
def test_what_is_wrong_and_where(
    client: TestClient, changes: dict[str, Any], location: str, detail: str
) -> None:
    answer = client.post("/api/v1/plan", json=SPEC | changes)
    assert answer.status_code == 422
    problem = answer.json()
    assert detail in problem["detail"]
    assert problem["errors"][0]["location"] == location
    assert detail in problem["errors"][0]["detail"]


def test_a_missing_gpu(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refuse, "DEVICES", ())
    for path in ("/api/v1/plan", "/api/v1/studies"):
        answer = client.post(path, json=SPEC | {"device": "cuda"})
        assert (answer.status_code, answer.json()["errors"][0]["location"]) == (422, "device")
        assert "this machine has none" in answer.json()["detail"]


@dataclass(frozen=True)
class Trap:
    """A module that leaves a file when it is run; a spec names it `trap`."""

    name: str
    sprung: Path

    def inside(self, spec: Mapping[str, Any]) -> Any:
        return json.loads(json.dumps(spec).replace("trap", self.name))

    def is_untouched(self) -> bool:
        return not self.sprung.exists() and not any(self.name in module for module in sys.modules)


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    name = f"trap_{secrets.token_hex(4)}"  # what was imported once is not run again
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(TRAP)
    (tmp_path / name / "inner.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return Trap(name, tmp_path / name / "sprung")


NAMED = [
    ("workload", {"workload": "trap:WORKLOAD"}),
    ("workload", {"workload": {"name": "trap:WORKLOAD", "steps": 3, "schedule": "cosine"}}),
    ("workload", {"workload": "trap.inner:WORKLOAD"}),
    ("optimizers.1", {"optimizers": ["adam", "trap:Optimizer"]}),
    ("optimizers.0", {"optimizers": ["trap.inner:Optimizer"]}),
    ("optimizers.0", {"optimizers": [{"name": "trap:Optimizer"}]}),
    (
        "optimizers.0",
        {"optimizers": [{"name": "trap:Optimizer", "axes": {"alpha": "lr"}, "betas": [0.9, 1]}]},
    ),
]


def asked(client: TestClient, path: str, kind: str, spec: Mapping[str, Any]) -> httpx2.Response:
    body = json.dumps(spec) if kind == "json" else to_toml(spec)
    return client.post(path, content=body, headers={"content-type": f"application/{kind}; charset=utf-8"})


@pytest.mark.parametrize(("place", "changes"), NAMED)
@pytest.mark.parametrize("kind", ["json", "toml"])
@pytest.mark.parametrize("path", ["/api/v1/plan", "/api/v1/studies"])
def test_nothing_is_imported(
    client: TestClient, trap: Trap, place: str, changes: Any, kind: str, path: str
) -> None:
    answer = asked(client, path, kind, trap.inside(SPEC | changes))
    assert answer.status_code == 422
    assert "import paths are allowed by tunability serve --allow-imports" in answer.json()["detail"]
    assert [error["location"] for error in answer.json()["errors"]] == [place]
    assert trap.is_untouched()


@pytest.mark.parametrize(("place", "changes"), NAMED)
def test_what_is_not_imported_would_be_if_it_were_allowed(
    url: str, trap: Trap, place: str, changes: Any
) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    app = create_app(Settings(url, token=TOKEN, allow_imports=True))
    with TestClient(app, "http://127.0.0.1", headers=headers) as client:
        answer = asked(client, "/api/v1/plan", "json", trap.inside(SPEC | changes))
    assert answer.status_code == 422
    assert "cannot be imported" in answer.json()["detail"]
    assert [error["location"] for error in answer.json()["errors"]] == [place]
    assert not trap.is_untouched()


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        ("optimizers", {"optimizers": "trap:Optimizer"}),
        ("optimizers.0", {"optimizers": [[{"name": "trap:Optimizer"}]]}),
        ("optimizers.0", {"optimizers": [{"name": "adam", "settings": {"x": "trap:Optimizer"}}]}),
        ("optimizers.0", {"optimizers": [{"name": "adam", "beta1": "trap:Optimizer"}]}),
        ("optimizers.0", {"optimizers": [{"name": "adam", "amsgrad": {"name": "trap:Optimizer"}}]}),
        ("optimizers.0", {"optimizers": [{"name": "adam", "axes": {"alpha": "trap:Optimizer"}}]}),
        ("optimizers.0", {"optimizers": [{"name": "adam", "axes": {"trap:Optimizer": "lr"}}]}),
        ("optimizers.0.axes", {"optimizers": [{"name": "adam", "axes": "trap:Optimizer"}]}),
        ("optimizers.0.schedule.name", {"optimizers": [{"name": "adam", "schedule": "trap:Optimizer"}]}),
        ("workload.schedule.name", {"workload": {"name": "digits-mlp", "schedule": "trap:WORKLOAD"}}),
        (
            "workload.weight_decay.value",
            {"workload": {"name": "digits-mlp", "weight_decay": "trap:WORKLOAD"}},
        ),
        ("workload", {"workload": {"name": "digits-mlp", "trap:WORKLOAD": 1}}),
        ("space", {"space": "trap:WORKLOAD"}),
        ("space", {"space": {"trap:WORKLOAD": [1, 2]}}),
        ("space", {"space": {"alpha": {"values": [1, 2], "scale": "trap:WORKLOAD"}}}),
        ("tuning.tuners", {"tuning": {"tuners": ["trap:WORKLOAD"]}}),
        ("device", {"device": "trap:WORKLOAD"}),
        ("name", {"name": "trap:WORKLOAD"}),
        ("trap:WORKLOAD", {"trap:WORKLOAD": 1}),
    ],
)
@pytest.mark.parametrize("allowed", [False, True])
def test_nowhere_else_is_anything_imported(
    url: str, trap: Trap, place: str, changes: Any, allowed: bool
) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    app = create_app(Settings(url, token=TOKEN, allow_imports=allowed))
    with TestClient(app, "http://127.0.0.1", headers=headers) as client:
        for path, kind in (("/api/v1/plan", "json"), ("/api/v1/studies", "toml")):
            answer = asked(client, path, kind, trap.inside(SPEC | changes))
            assert answer.status_code == 422
            assert [error["location"] for error in answer.json()["errors"]] == [
                place.replace("trap", trap.name)
            ]
    assert trap.is_untouched()


@pytest.mark.parametrize(("place", "changes"), NAMED)
def test_a_stored_study_is_shown_but_not_resumed(
    client: TestClient, url: str, trap: Trap, place: str, changes: Any
) -> None:
    spec = trap.inside(SPEC | changes)
    space = SearchSpace.from_table(spec["space"])
    with open_store(url, create=True) as store:
        store.declare(
            "new", {key: {} for key in ["first"]}, space=space, metric="error", spec=spec, provenance={}
        )
    for path in ("/api/v1/studies", "/api/v1/studies/new", "/api/v1/studies/new/trials", "/studies/new"):
        assert client.get(path).status_code == 200, path
    answer = client.post("/api/v1/studies/new/resume")
    assert answer.status_code == 422
    assert [error["location"] for error in answer.json()["errors"]] == [place]
    assert trap.is_untouched()


def test_imports_that_are_allowed(url: str) -> None:
    settings = Settings(url, token=TOKEN, allow_imports=True)
    headers = {"authorization": f"Bearer {TOKEN}"}
    with TestClient(create_app(settings), "http://127.0.0.1", headers=headers) as client:
        spec = SPEC | {"optimizers": [{"name": "torch.optim:NAdam", "axes": {"alpha": "lr"}}], "seeds": 1}
        plan = client.post("/api/v1/plan", json=spec).json()
    assert plan["trials"] == 10
    assert plan["notes"][0].startswith("torch.optim:NAdam: one-by-one, uncompiled, about ")


def test_choices_of_a_black_box_are_split_and_said(url: str) -> None:
    settings = Settings(url, token=TOKEN, allow_imports=True)
    headers = {"authorization": f"Bearer {TOKEN}"}
    spec = {
        "name": "boxed",
        "workload": {"command": "ls {lr} {activation}", "metric": "loss"},
        "optimizers": ["adam"],
        "space": {"lr": [0.1, 1], "activation": ["relu", "tanh"]},
        "seeds": 1,
    }
    with TestClient(create_app(settings), "http://127.0.0.1", headers=headers) as client:
        plan = client.post("/api/v1/plan", json=spec).json()
        clash = spec | {"optimizers": ["adam", "adam"]}
        refused = client.post("/api/v1/plan", json=clash)
    assert plan["trials"] == 4
    assert plan["notes"] == [
        "activation: choices have no order, so each is studied by itself, as adam-relu, adam-tanh"
    ]
    assert 'label = "adam-relu", activation = "relu"' in plan["toml"]
    assert refused.status_code == 422
    assert [error["location"] for error in refused.json()["errors"]] == ["space"]
    assert "make two optimizers 'adam-relu'" in refused.json()["detail"]


@pytest.mark.parametrize(
    "space",
    [
        {"alpha": {"low": 1e-8, "high": 1, "num": 10**12}},
        {"size": {"ordered": [str(i) for i in range(500)]}, "eps": [1.0 + i for i in range(500)]},
        {"alpha": {"low": 1e-8, "high": 1, "num": 1e300}},
        {"alpha": [1.0 + i for i in range(400)], "eps": {"low": 1e-8, "high": 1, "num": 400}},
        {f"a{i}": {"low": 1, "high": 2, "num": 100} for i in range(32)},
        {"alpha": {"low": 1, "high": 2, "num": 1.5}, "eps": {"low": 1, "high": 2, "num": 10**400}},
        {"alpha": {"values": [1.0 + i for i in range(400)]}, "eps": [1.0 + i for i in range(400)]},
    ],
)
def test_grids_too_large_are_refused_before_they_are_made(client: TestClient, space: dict[str, Any]) -> None:
    answer = client.post("/api/v1/plan", json=SPEC | {"space": space, "seeds": 2})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"].startswith("space")
    assert "a study may have 200,000 trials here" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("key", "entries", "most"),
    [("space", {f"a{i}": [1.0] for i in range(33)}, 32), ("optimizers", ["adam"] * 101, 100)],
)
def test_more_entries_than_any_study_has(client: TestClient, key: str, entries: Any, most: int) -> None:
    answer = client.post("/api/v1/plan", json=SPEC | {key: entries})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"location": key, "detail": f"has {len(entries)} entries: give at most {most}"}
    ]


def test_trials_too_many_by_seeds(client: TestClient) -> None:
    answer = client.post("/api/v1/plan", json=SPEC | {"seeds": 100_000})
    assert answer.status_code == 422
    assert "not 2,000,000" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "detail"),
    [
        ("{", "application/json", 400, "not valid JSON"),
        ('{"a": NaN}', "application/json", 400, "NaN is no JSON number"),
        ("[" * 100_000, "application/json", 400, "nested too deeply"),
        ('{"a":' * 50 + "1" + "}" * 50, "application/json", 422, "nested too deeply"),
        ("a = ", "application/toml", 400, "not valid TOML"),
        ("a." * 400_000 + "a = 1", "application/toml", 400, "a dotted key has more than 10 parts"),
        ("a = " + "[" * 10_000, "application/toml", 400, "not valid TOML"),
        ("[1, 2]", "application/json", 422, "a table of keys"),
        ('{"a": ' + "9" * 4_400 + "}", "application/json", 400, "a number has more than 4,000 digits"),
        ("a = " + "9" * 4_400, "application/toml", 400, "a number has more than 4,000 digits"),
        ('{"name": "a\\ud800"}', "application/json", 422, "name has the character U+D800"),
        ('{"name": "a\\u0000"}', "application/json", 422, "name has the character U+0000"),
        (b'"\xff"', "application/json", 400, "not valid JSON"),
        ("a = 1", "text/plain", 415, "not 'text/plain'"),
        ("", "application/json", 400, "not valid JSON"),
    ],
)
def test_bodies_that_are_no_studies(
    client: TestClient, body: str | bytes, kind: str, status: int, detail: str
) -> None:
    answer = client.post("/api/v1/plan", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert detail in answer.json()["detail"]


def test_a_name_that_is_taken(client: TestClient, tmp_path: Path) -> None:
    for path in ("/api/v1/plan", "/api/v1/studies"):
        answer = client.post(path, json=SPEC | {"name": "small"})
        assert answer.status_code == 409
        assert "small/adam is stored in" in answer.json()["detail"]
        assert "with another recipe" in answer.json()["detail"]


def test_no_more_studies_than_are_allowed(url: str) -> None:
    settings = Settings(url, token=TOKEN, max_active=0)
    headers = {"authorization": f"Bearer {TOKEN}"}
    with TestClient(create_app(settings), "http://127.0.0.1", headers=headers) as client:
        answer = client.post("/api/v1/studies", json=SPEC)
        assert answer.status_code == 429
        assert client.get("/api/v1/studies/new").status_code == 404


def test_deleting_is_meant(client: TestClient) -> None:
    assert client.delete("/api/v1/studies/half").status_code == 400
    assert client.delete("/api/v1/studies/half?confirm=small").status_code == 400
    assert client.delete("/api/v1/studies/none?confirm=none").status_code == 404
    assert client.get("/api/v1/studies/half").status_code == 200
    assert client.delete("/api/v1/studies/half?confirm=half").status_code == 204
    assert client.get("/api/v1/studies/half").status_code == 404
    assert [study["name"] for study in client.get("/api/v1/studies").json()["studies"]] == ["small"]
    assert client.post("/api/v1/studies/small/stop").status_code == 409
    assert client.get("/api/v1/studies/small/log").status_code == 404
