"""The pages as they are served: escaped, under the token, with what scripts draw from."""

import dataclasses
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from search_spaces import SearchSpace
from storage.foreign import ForeignTrials, import_trials
from storage.records import Trials
from storage.store import open_store
from study.service.answers.panels import scale_of
from study.service.app import Service, create_app
from study.service.pages import assets
from study.service.settings import Settings

PAGES = ["/", "/studies/small", "/new", "/trials", "/compare"]
ODD = "<b>&\"'%?# ü"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
MakeTrials = Callable[..., Trials]


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_whole_documents(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for wanted in ('<html lang="en"', "<main ", "<nav ", 'class="skip"', "<h1", "width=device-width"):
        assert wanted in answer.text
    policy = answer.headers["content-security-policy"]
    scripts = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in scripts
    assert not re.search(r"\son\w+=|<script(?![^>]*src=)|style=", answer.text)  # nothing inline


@pytest.mark.parametrize("path", [*PAGES, "/api/v1/panels?study=small", "/static/x/style.css", "/optuna/"])
def test_nothing_without_the_token(app: Service, path: str) -> None:
    stranger = TestClient(app, "http://127.0.0.1:8000", follow_redirects=False)
    assert stranger.get(path).status_code == 401


def test_everything_that_pages_name_is_served(client: TestClient) -> None:
    for path in PAGES:
        for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get(path).text):
            answer = client.get(address, headers={"accept-encoding": "identity"})
            assert answer.status_code == 200, address
            assert "immutable" in answer.headers["cache-control"]
    assert "immutable" not in client.get("/static/0/style.css").headers["cache-control"]
    assert client.get("/static/0/none.js").status_code == 404
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"
    for name, content in assets.contents().items():
        for imported in re.findall(r'from "\./([^"]+)"', content.decode() if name != assets.PLOTLY else ""):
            assert imported in assets.contents(), f"{name} imports {imported}"


def test_names_are_escaped(url: str, trials: MakeTrials) -> None:
    with open_store(url, create=True) as store:
        space = SearchSpace.from_table({"alpha": [0.1, 1.0]})
        store.declare(
            ODD, {key: {} for key in ["adam"]}, space=space, metric="error", spec={"seeds": 1}, provenance={}
        )
    with TestClient(create_app(Settings(url, token="x" * 16)), "http://127.0.0.1") as client:
        client.headers["authorization"] = "Bearer " + "x" * 16
        for path in ["/", "/trials", "/compare"]:
            text = client.get(path).text
            assert "<b>" not in text
            assert "&lt;b&gt;&amp;&#34;&#39;%?# ü" in text
        address = re.findall(r'href="(/studies/%3Cb[^"]*)"', client.get("/").text)[0]
        answer = client.get(address)
        assert answer.status_code == 200
        assert "<b>" not in answer.text
        panel = client.get("/api/v1/panels", params={"study": ODD}).json()["panels"][0]
        assert (panel["trials"], panel["best"], panel["count"]) == (0, None, [0, 0])


def test_signing_in_keeps_what_a_page_was_asked_for(app: Service, settings: Settings) -> None:
    stranger = TestClient(app, "http://127.0.0.1:8000", follow_redirects=False)
    answer = stranger.get(f"/compare?study=a/b&study=a/c&token={settings.token}")
    assert answer.headers["location"] == "/compare?study=a%2Fb&study=a%2Fc"


def test_an_unknown_study_is_a_page_with_the_stores_words(client: TestClient) -> None:
    answer = client.get("/studies/<smal>", headers=BROWSER)
    assert answer.status_code == 404
    assert "there is no study &#39;&lt;smal&gt;&#39;" in answer.text


def test_an_empty_store_shows_what_to_do(tmp_path: Path) -> None:
    settings = Settings(f"sqlite:///{tmp_path}/none.db", token="x" * 16)
    with TestClient(create_app(settings), "http://127.0.0.1") as client:
        client.headers["authorization"] = f"Bearer {settings.token}"
        for path in PAGES:
            assert client.get(path).status_code == (404 if "small" in path else 200)
        assert "No study is stored yet" in client.get("/").text
        assert client.get("/optuna/api/studies").status_code == 404
    assert not (tmp_path / "none.db").exists()


def test_a_store_that_cannot_be_read_is_a_page_too(tmp_path: Path) -> None:
    (tmp_path / "none.db").write_text("no database")
    settings = Settings(f"sqlite:///{tmp_path}/none.db", token="x" * 16)
    with TestClient(create_app(settings), "http://127.0.0.1") as client:
        client.headers["authorization"] = f"Bearer {settings.token}"
        answer = client.get("/", headers=BROWSER)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert "none.db" in answer.text
        assert client.get("/api/v1/panels?study=small").headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/studies/none", 404), ("/trials/x", 404)])
def test_browsers_get_errors_as_pages_and_scripts_as_problems(
    client: TestClient, path: str, status: int
) -> None:
    shown = client.get(path, headers=BROWSER)
    assert (shown.status_code, shown.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert '<a href="/">All studies</a>' in shown.text
    told = client.get(path)
    assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json")
    assert told.json()["detail"].split(":")[0].replace("'", "&#39;") in shown.text
    assert (
        client.get("/api/v1/nothing", headers=BROWSER).headers["content-type"] == "application/problem+json"
    )


def test_panels_have_the_numbers_of_the_landscape(client: TestClient) -> None:
    drawn = client.get("/api/v1/panels", params={"study": "small"}).json()
    told = client.get("/api/v1/studies/small/landscape").json()
    assert [panel["optimizer"] for panel in drawn["panels"]] == ["adam", "avagrad"]
    panel, document = drawn["panels"][0], told["optimizers"][0]
    assert panel["mean"] == document["mean"]
    assert panel["count"] == document["count"]
    assert panel["best"]["coordinates"] == {"alpha": 0.1, "eps": 1e-4}
    assert np.shape(panel["values"]) == (2, 5, 5)
    assert drawn["scale"]["lowest"] == pytest.approx(np.min(panel["mean"]))
    assert [drawn["scale"]["ticks"][end]["at"] for end in (0, -1)] == [0, 1]
    assert drawn["colours"][0] == "#fde725"  # good is light


def test_spread_one_seed_and_fewer_steps(client: TestClient) -> None:
    plain = client.get("/api/v1/panels?study=small/adam").json()
    assert (plain["seeds"], plain["steps"], plain["panels"][0]["spread"]) == ([0, 1], [10, 20], None)
    found = client.get("/api/v1/panels?study=small/adam&shown=spread").json()
    told = client.get("/api/v1/studies/small/landscape").json()["optimizers"][0]
    assert found["panels"][0]["spread"] == told["std"]
    assert found["panels"][0]["best"] == plain["panels"][0]["best"]
    assert (found["scale"]["contours"], found["scale"]["highest"]) == ([], pytest.approx(0.001 / 2**0.5))
    one = client.get("/api/v1/panels?study=small/adam&seed=1").json()
    panel = one["panels"][0]
    assert (panel["seeds"], panel["expected"], panel["mean"]) == ([1], 25, plain["panels"][0]["values"][1])
    assert (one["seed"], one["seeds"]) == (1, [0, 1])
    early = client.get("/api/v1/panels?study=small/adam&step=12&seed=0").json()
    assert early["panels"][0]["mean"][2] == pytest.approx([0.2] * 5)
    refused = client.get("/api/v1/panels?study=small/adam&seed=1&shown=spread")
    assert (refused.status_code, "no cell has two seeds" in refused.json()["detail"]) == (409, True)


def test_colours_end_where_cells_stop_to_differ(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = client.get("/api/v1/panels?study=small/adam").json()
    panel, scale = drawn["panels"][0], drawn["scale"]
    assert panel["dead"] == [[row in (0, 4)] * 5 for row in range(5)]  # where every trial diverged
    assert scale["highest"] == scale["worst"] == pytest.approx(0.1505)
    assert scale["contours"] == [0.005, 0.01, 0.02]  # points, of a rate
    monkeypatch.setattr("study.service.answers.panels.COLOUR_QUANTILE", 0.3)
    values = np.append(np.full(90, 0.1), np.full(10, 0.9)) + np.arange(100) / 1e4
    scale = scale_of("error", values)
    assert scale is not None
    assert (scale["highest"], scale["worst"]) == (pytest.approx(0.10297), pytest.approx(0.9099))
    assert scale["ticks"][-1]["at"] == 1


def test_half_a_landscape_is_drawn_as_far_as_it_goes(client: TestClient) -> None:
    panel = client.get("/api/v1/panels", params={"study": "half/adam"}).json()["panels"][0]
    assert (panel["trials"], panel["expected"], panel["expected_seeds"]) == (45, 50, 2)
    assert panel["count"][4] == [1] * 5  # of the last rows, one seed
    assert panel["values"][1][4] == [None] * 5
    assert None not in panel["mean"][4]


def test_other_numbers_of_axes(url: str, client: TestClient) -> None:
    tables = {
        "one": {"alpha": [0.1, 1.0, 10.0]},
        "three": {"alpha": [0.1, 1.0], "eps": [1.0, 2.0], "beta": [0.5, 0.9]},
    }
    with open_store(url, create=True) as store:
        for name, table in tables.items():
            space = SearchSpace.from_table(table)
            store.declare(
                name,
                {key: {} for key in ["adam"]},
                space=space,
                metric="error",
                spec={"seeds": 1},
                provenance={},
            )
            store.append(name, "adam", every_cell(space))
    one = client.get("/api/v1/panels?study=one").json()["panels"][0]
    assert one["mean"] == [1.0, 2.0, 3.0]
    found = client.get("/api/v1/panels?study=three&axis=beta&axis=alpha").json()
    assert found["axes"] == ["alpha", "eps", "beta"]
    panel = found["panels"][0]
    assert panel["mean"] == [[1.0, 5.0], [2.0, 6.0]]  # eps at its best, 1
    assert panel["held"] == {"eps": [[1.0, 1.0], [1.0, 1.0]]}
    problem = client.get("/api/v1/panels?study=three&axis=beta&axis=beta")
    assert problem.status_code == 422
    assert "the axis 'beta' is given twice" in problem.json()["detail"]
    panel = client.get("/api/v1/panels?study=three&axis=beta&axis=alpha&at=eps=2").json()["panels"][0]
    assert (panel["mean"], panel["held"], panel["fixed"]) == ([[3.0, 7.0], [4.0, 8.0]], {}, {"eps": 2.0})
    assert panel["levels"]["eps"] == [1.0, 2.0]
    problem = client.get("/api/v1/panels?study=three&at=eps=7").json()
    assert "eps = 7 is not on the grid: it has 1, 2" in problem["detail"]


def test_the_third_axis_of_scattered_trials_is_at_its_best(url: str, client: TestClient) -> None:
    decades = np.random.default_rng(0).uniform((-4, -8, -1), (0, 0, 1), (30, 3))
    values = 0.1 + ((decades - (-2, -4, 0)) ** 2).sum(axis=1)
    found = ForeignTrials("here", ("lr", "wd", "beta"), 10**decades, values, "loss")
    with open_store(url, create=True) as store:
        import_trials(store, found, "scattered", "theirs")
    panel = client.get("/api/v1/panels?study=scattered&axis=lr&axis=beta").json()["panels"][0]
    assert (panel["surrogate"], panel["trials"]) == (True, 30)
    assert [axis["name"] for axis in panel["axes"]] == ["lr", "beta"]
    assert -5 < np.log10(panel["fixed"]["wd"]) < -3


def every_cell(space: SearchSpace) -> Trials:
    cells = space.cells()
    now = datetime.now(UTC)
    return Trials(
        hyperparameters=dict(zip(space.names, cells.T, strict=True)),
        seed=0,
        value=1.0 + np.arange(len(cells)),
        metrics={},
        curve_steps=np.array([1]),
        curve=np.ones((len(cells), 1)),
        diverged_at=np.full(len(cells), -1),
        seconds=np.full(len(cells), 0.1),
        started=now,
        finished=now,
    )


def test_cells_have_edges_also_alone(url: str, client: TestClient) -> None:
    space = SearchSpace.from_table(
        {
            "alpha": {"values": [0.1], "scale": "log"},
            "beta": {"values": [0.5], "scale": "linear"},
            "eps": {"values": [1.0, 4.0], "scale": "log"},
        }
    )
    with open_store(url, create=True) as store:
        store.declare(
            "lone",
            {key: {} for key in ["adam"]},
            space=space,
            metric="error",
            spec={"seeds": 1},
            provenance={},
        )
        store.append("lone", "adam", every_cell(space))
    edges = {}
    for pair in ("axis=alpha&axis=beta", "axis=eps&axis=beta"):
        panel = client.get(f"/api/v1/panels?study=lone&{pair}").json()["panels"][0]
        edges |= {axis["name"]: axis["edges"] for axis in panel["axes"]}
    assert edges == {"alpha": [0.05, 0.2], "beta": [0.0, 1.0], "eps": pytest.approx([0.5, 2.0, 8.0])}


def test_seeds_own_values_stay_away_where_there_are_too_many(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for study, most, given in (("small", 50, True), ("half", 49, False)):
        monkeypatch.setattr("study.service.answers.panels.MOST_VALUES", most)
        panel = client.get("/api/v1/panels", params={"study": study}).json()["panels"][0]
        assert (panel["values"] is not None) == given


def test_several_studies_share_a_scale_of_one_metric(url: str, client: TestClient) -> None:
    both = client.get("/api/v1/panels?study=small/adam&study=half/avagrad").json()
    assert [(panel["study"], panel["optimizer"]) for panel in both["panels"]] == [
        ("small", "adam"),
        ("half", "avagrad"),
    ]
    with open_store(url, create=True) as store:
        space = SearchSpace.from_table({"alpha": [0.1, 1.0]})
        store.declare(
            "other",
            {key: {} for key in ["adam"]},
            space=space,
            metric="loss",
            spec={"seeds": 1},
            provenance={},
        )
    answer = client.get("/api/v1/panels?study=small&study=other")
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        "one scale needs one metric, and these are error (small), loss (other): compare others"
    )


def test_a_cell_has_its_trials_and_curves(client: TestClient) -> None:
    found = client.get("/api/v1/studies/small/optimizers/adam/cell?at=alpha=0.1&at=eps=1e-8").json()
    assert [row["seed"] for row in found["trials"]] == [0, 1]
    assert found["curves"] == [
        [[10, 0.2], [20, 0.1]],
        [[10, pytest.approx(0.201)], [20, pytest.approx(0.101)]],
    ]
    for query, text in [("at=alpha=0.1", "give these"), ("at=alpha=x&at=eps=1", "AXIS=NUMBER")]:
        answer = client.get(f"/api/v1/studies/small/optimizers/adam/cell?{query}")
        assert answer.status_code in (409, 422)
        assert text in answer.json()["detail"]


def test_ridges_go_through_their_dots(client: TestClient) -> None:
    verdict = client.get("/api/v1/studies/small/separability?optimizer=adam").json()["verdicts"][0]
    drawn = verdict["drawn"]
    assert verdict["verdict"] == "decoupled"
    assert [dot[0] for dot in drawn["dots"]] == [1e-8, 1e-6, 1e-4, 1e-2, 1.0]
    assert all(low <= best <= high for _, best, low, high in drawn["dots"])
    assert all(low <= high for _, low, high in drawn["band"])
    assert drawn["left_out"] == []
    assert [drawn["lose"][k][k] for k in range(5)] == [0] * 5
    for point in [*drawn["dots"], *drawn["lines"][0]]:
        assert point[1] == pytest.approx(0.1, rel=0.05)


def test_a_ridge_that_bends_is_drawn_as_two_lines(client: TestClient, url: str) -> None:
    """As Adam's: the best alpha is constant below eps = 1e-4 and proportional to it above."""
    space = SearchSpace.from_table(
        {
            "alpha": {"low": 1e-4, "high": 1e4, "num": 33},
            "eps": {"low": 1e-8, "high": 1.0, "num": 17},
        }
    )
    alpha, eps = np.log10(space.cells()).T
    trials = every_cell(space)
    with open_store(url, create=True) as store:
        store.declare(
            "bends",
            {key: {} for key in ["adam"]},
            space=space,
            metric="error",
            spec={"seeds": 4},
            provenance={},
        )
        for seed in range(4):
            noise = np.random.default_rng(seed).normal(0, 1e-4, len(alpha))
            value = 0.1 + 0.02 * (alpha + 2 - np.maximum(eps + 4, 0)) ** 2 + noise
            store.append("bends", "adam", dataclasses.replace(trials, seed=seed, value=value))
    verdict = client.get("/api/v1/studies/bends/separability").json()["verdicts"][0]
    assert verdict["verdict"] == "coupled"
    (start, bend), (same, end) = verdict["drawn"]["lines"]
    assert bend == same
    assert bend == [pytest.approx(1e-4, rel=0.3), pytest.approx(1e-2, rel=0.3)]
    assert (start[0], start[1]) == (1e-8, pytest.approx(1e-2, rel=0.3))
    assert (end[0], end[1]) == (1.0, pytest.approx(1e2, rel=0.3))


def test_optuna_dashboard_reads_and_only_reads(url: str, client: TestClient) -> None:
    frame = client.get("/optuna/")
    assert 'src="/optuna/dashboard"' in frame.text
    assert 'aria-current="page">Optuna' in frame.text
    page = client.get("/optuna/dashboard")
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    assert 'src="/optuna/static/bundle.js"' in page.text
    assert b'"/optuna/dashboard"' in client.get("/optuna/static/bundle.js").content
    names = {each["study_name"] for each in client.get("/optuna/api/studies").json()["study_summaries"]}
    assert names == {"small/adam", "small/avagrad", "half/adam", "half/avagrad"}
    plain = TestClient(client.app, "http://127.0.0.1:8000", headers=dict(client.headers))
    del plain.headers["accept-encoding"]  # which optuna-dashboard takes for granted
    for path in ("/optuna/static/favicon.ico", "/optuna/static/nothing.js", "/optuna/favicon.ico"):
        assert plain.get(path).status_code in (200, 404), path
    for method in ("POST", "PUT", "DELETE"):
        answer = client.request(method, "/optuna/api/studies/1", json={})
        assert answer.status_code == 403
        assert "for reading" in answer.json()["reason"]
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        assert file.execute("SELECT count(*) FROM studies").fetchone() == (4,)


def test_ordered_axes_are_shown_as_words(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    words = ["small", "medium", "large"]
    space = SearchSpace.from_table({"size": {"ordered": words}, "lr": [0.1, 1.0]})
    values = space.cells()
    now = datetime.now(UTC)
    with open_store(url, create=True) as store:
        spec = {"name": "sized", "seeds": 1, "space": space.to_table()}
        store.declare("sized", {"box": {}}, space=space, metric="loss", spec=spec, provenance={})
        loss = 1 + (values[:, 0] - 1) ** 2 + values[:, 1]
        nothing = np.zeros((len(values), 0))
        never, second = np.full(len(values), -1), np.ones(len(values))
        columns = dict(zip(space.names, values.T, strict=True))
        store.append(
            "sized",
            "box",
            Trials(columns, 0, loss, {}, np.zeros(0, int), nothing, never, second, now, now),
        )
    with TestClient(create_app(Settings(url, token="t")), "http://127.0.0.1:8000") as client:
        client.headers["authorization"] = "Bearer t"
        (panel,) = client.get("/api/v1/panels?study=sized").json()["panels"]
        assert panel["words"] == {"size": words}
        assert panel["axes"][0]["values"] == [0, 1, 2]
        api = "/api/v1/studies/sized"
        assert client.get(f"{api}/landscape").json()["axes"][0]["words"] == words
        cell = client.get("/api/v1/studies/sized/optimizers/box/cell?at=size=1&at=lr=0.1").json()
        assert [trial["size"] for trial in cell["trials"]] == ["medium"]
        page = client.get(f"{api}/trials?where=size>='medium'&sort=size&order=desc").json()
        assert [trial["size"] for trial in page["trials"]] == ["large"] * 2 + ["medium"] * 2
        assert "box,0,0,small,0.1," in client.get(f"{api}/trials?format=csv").text
        held = client.get(f"{api}/landscape?at=size=medium").json()["optimizers"][0]
        assert held["mean"] == [[1.1], [2.0]]
