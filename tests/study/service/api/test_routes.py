"""Reading over HTTP: the same numbers as the store and the command line."""

import base64
import dataclasses
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from analysis.landscape import best_cell, landscape
from storage.records import Trials, TuningRun
from storage.store import open_store
from study.service.answers.reads import FRESH_SECONDS
from study.service.app import create_app
from study.service.settings import Settings

MakeTrials = Callable[..., Trials]


def test_studies_and_their_states(client: TestClient) -> None:
    answer = client.get("/api/v1/studies")
    half, small = answer.json()["studies"]
    assert (small["name"], small["state"], small["trials"], small["expected"]) == ("small", "done", 100, 100)
    assert (half["name"], half["state"], half["trials"], half["expected"]) == ("half", "stopped", 90, 100)
    assert small["optimizers"][0] == {
        "name": "adam",
        "trials": 50,
        "expected": 50,
        "diverged": 20,
        "best": pytest.approx(0.1),
        "problem": None,
    }
    assert small["tuning_runs"] == 12
    assert answer.headers["cache-control"] == "no-store"


def test_a_study_with_its_file(client: TestClient) -> None:
    found = client.get("/api/v1/studies/small").json()
    assert found["spec"]["seeds"] == 2
    assert 'name = "small"\n' in found["toml"]
    assert [axis["name"] for axis in found["axes"]] == ["alpha", "eps"]
    assert found["axes"][0]["scale"] == "log"
    assert found["provenance"]["machine"]["platform"] == "made up"
    assert found["provenance"]["launch"] == 0
    assert found["state"] == "done"


def test_failures_are_listed_until_their_trials_are_stored(
    client: TestClient, url: str, trials: MakeTrials
) -> None:
    path = "/api/v1/studies/half/failures"
    nothing = client.get(path)
    assert nothing.json() == {"study": "half", "failures": []}
    late = trials(1, slice(20, 25))
    with open_store(url, create=True) as store:
        store.append_failures("half", "adam", late.cells(), 1, "RuntimeError: no", "Traceback\n<b>no</b>")
        store.append_failures("half", "avagrad", late.cells()[:1], 1, "the worker died")

        def found() -> dict[str, Any]:
            time.sleep(2 * FRESH_SECONDS)
            document: dict[str, Any] = client.get("/api/v1/studies/half").json()
            return document

        document = found()
        assert (document["trials"], document["failed"], document["state"]) == (90, 6, "stopped")
        answer = client.get(path)
        assert answer.headers["etag"] != nothing.headers["etag"]
        last, *others = answer.json()["failures"]
        assert last.pop("failed_at") == document["last_failed"]
        assert last == {
            "optimizer": "avagrad", "cell": {"alpha": 10.0, "eps": 1e-8}, "seed": 1, "launch": None,
            "reason": "the worker died", "lines": "",
        }  # fmt: skip
        assert [each["optimizer"] for each in others] == ["adam"] * 5
        assert others[0]["lines"] == "Traceback\n<b>no</b>"
        assert len(client.get(path, params={"limit": 2}).json()["failures"]) == 2
        assert len(client.get(path, params={"optimizer": "adam"}).json()["failures"]) == 5
        store.append("half", "adam", late)
        assert found()["failed"] == 1
        assert [each["optimizer"] for each in client.get(path).json()["failures"]] == ["avagrad"]


def test_no_database_is_no_studies(tmp_path: Path) -> None:
    settings = Settings(f"sqlite:///{tmp_path}/none.db", token="x" * 16)
    headers = {"authorization": f"Bearer {settings.token}"}
    with TestClient(create_app(settings), "http://127.0.0.1", headers=headers) as client:
        assert client.get("/api/v1/studies").json() == {"studies": []}
        answer = client.get("/api/v1/studies/small/landscape")
        assert answer.status_code == 404
        assert "run a study first" in answer.json()["detail"]
    assert not (tmp_path / "none.db").exists()


def test_an_unknown_study_in_the_stores_words(client: TestClient) -> None:
    for path in ("", "/trials", "/failures", "/landscape", "/separability", "/cost"):
        answer = client.get(f"/api/v1/studies/smal{path}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert "there is no study 'smal'" in answer.json()["detail"]
        assert "did you mean 'small'" in answer.json()["detail"]


def test_pages_follow_one_another(client: TestClient, url: str) -> None:
    path, rows, links = "/api/v1/studies/small/trials?limit=30&sort=error&order=desc", [], 0
    while path:
        answer = client.get(path)
        rows += answer.json()["trials"]
        path = answer.links.get("next", {}).get("url", "")
        links += 1
        assert bool(path) == (answer.json()["next"] is not None)
    assert links == 4
    with open_store(url, create=False) as store:
        expected = store.trials("small").sort_values("error", ascending=False)
    assert [row["error"] for row in rows] == expected["error"].tolist()
    assert {row["diverged_at"] for row in rows} == {15, None}


def test_several_studies_by_one_filter(client: TestClient) -> None:
    asked = {"study": ["small", "half/adam"], "where": "alpha = 10", "sort": "seed", "order": "desc"}
    page = client.get("/api/v1/trials", params={**asked, "limit": 7})
    found = page.json()
    assert (found["found"], found["next"], len(found["trials"])) == (2 * 10 + 5, "7", 7)
    assert {(row["study"], row["seed"]) for row in found["trials"]} == {("small", 1)}  # half has no such yet
    rows = [*found["trials"]]
    while "next" in page.links:
        page = client.get(page.links["next"]["url"])
        rows += page.json()["trials"]
    assert [row["study"] for row in rows].count("half") == 5
    table = client.get("/api/v1/trials", params={**asked, "format": "csv"})
    assert table.text.splitlines()[0].startswith("study,optimizer,number")
    assert len(table.text.splitlines()) == 1 + 25
    alone = client.get("/api/v1/trials?study=half").json()
    assert (alone["found"], alone["trials"][0]["study"]) == (90, "half")
    refused = client.get("/api/v1/trials?study=small&study=none")
    assert (refused.status_code, "no study 'none'" in refused.json()["detail"]) == (404, True)


def test_matches_are_counted(client: TestClient) -> None:
    count = "/api/v1/studies/small/count"
    assert client.get(count).json() == {"trials": 100}
    assert client.get(count, params={"optimizer": "adam", "where": "alpha < 0.1"}).json() == {"trials": 20}
    assert client.get(count, params={"where": "alpha <"}).status_code == 400


def test_filters_are_the_command_lines(client: TestClient) -> None:
    answer = client.get("/api/v1/studies/small/trials", params={"where": "alpha < 0.1 and seed = 1"})
    assert {(row["alpha"], row["seed"]) for row in answer.json()["trials"]} == {(0.001, 1), (0.01, 1)}
    answer = client.get("/api/v1/studies/small/trials", params={"where": "alhpa < 0.1"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("there is no field 'alhpa' (did you mean 'alpha'?)")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("chunk", [7, 5_000])
def test_tables_are_the_stores(
    client: TestClient, url: str, kind: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.service.answers.reads.ROWS_PER_CHUNK", chunk)
    answer = client.get(f"/api/v1/studies/small/trials?format={kind}")
    with open_store(url, create=False) as store:
        expected = store.trials("small")
    assert answer.headers["content-disposition"] == f'attachment; filename="small.{kind}"'
    if kind == "csv":
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.text == expected.to_csv(index=False)
    else:
        found = pd.read_parquet(io.BytesIO(answer.content))
        pd.testing.assert_frame_equal(found, expected)


def test_a_table_by_accept_sorted_filtered_and_limited(client: TestClient) -> None:
    query = {"sort": "error", "where": "seed = 0", "limit": 3, "optimizer": "adam"}
    answer = client.get("/api/v1/studies/small/trials", params=query, headers={"accept": "text/csv"})
    frame = pd.read_csv(io.StringIO(answer.text))
    assert frame["error"].tolist() == pytest.approx([0.1] * 3)
    assert set(frame["optimizer"]) == {"adam"}
    answer = client.get("/api/v1/studies/small/trials?format=csv&where=bad")
    assert answer.status_code == 400


def test_a_trial_and_its_curve(client: TestClient) -> None:
    found = client.get("/api/v1/studies/small/optimizers/adam/trials/0").json()
    assert found["trial"]["alpha"] == 0.001
    assert found["trial"]["diverged_at"] == 15
    assert found["curve"] == [{"step": 10, "value": pytest.approx(0.4)}, {"step": 20, "value": None}]
    assert client.get("/api/v1/studies/small/optimizers/adam/trials/50").status_code == 404
    assert client.get("/api/v1/studies/small/optimizers/sgd/trials/0").status_code == 404


def test_landscapes_are_those_of_the_analysis(client: TestClient, url: str) -> None:
    found = client.get("/api/v1/studies/small/landscape").json()
    with open_store(url, create=False) as store:
        expected = landscape(store.trials("small", "adam"), store.space("small"), "error")
    adam = found["optimizers"][0]
    assert (adam["name"], adam["complete"], adam["seeds"]) == ("adam", True, [0, 1])
    np.testing.assert_allclose(adam["mean"], expected.mean("seed").values)
    np.testing.assert_allclose(adam["std"], expected.std("seed", ddof=1).values)
    assert adam["best"]["coordinates"] == best_cell(expected).coordinates
    assert adam["best"]["edge"] == []


def test_landscapes_of_half_a_study_and_of_a_filter(client: TestClient) -> None:
    adam = client.get("/api/v1/studies/half/landscape?optimizer=adam").json()["optimizers"]
    assert len(adam) == 1
    assert (adam[0]["complete"], adam[0]["trials"], adam[0]["expected"]) == (False, 45, 50)
    assert adam[0]["count"] == [[2] * 5] * 4 + [[1] * 5]
    assert adam[0]["std"][4] == [None] * 5
    assert adam[0]["mean"][4][0] is not None
    nothing = client.get("/api/v1/studies/half/landscape?where=alpha%20%3E%20100").json()["optimizers"]
    assert nothing[0]["mean"] == [[None] * 5] * 5
    assert nothing[0]["best"] is None


def test_a_view_of_a_landscape(client: TestClient) -> None:
    path = "/api/v1/studies/small/landscape?optimizer=adam"
    (whole,) = client.get(path).json()["optimizers"]
    assert (whole["shown"], whole["held"]) == (None, {})
    assert client.get(f"{path}&at=eps").status_code == 422
    (turned,) = client.get(f"{path}&axes=eps,alpha").json()["optimizers"]
    assert [axis["name"] for axis in turned["shown"]] == ["eps", "alpha"]
    assert turned["mean"] == np.transpose(whole["mean"]).tolist()
    (curve,) = client.get(f"{path}&axes=alpha").json()["optimizers"]
    assert curve["mean"] == [min(row) for row in whole["mean"]]
    (row,) = client.get(f"{path}&at=eps%3D1e-6").json()["optimizers"]
    assert row["mean"] == [[each[1]] for each in whole["mean"]]
    off = client.get(f"{path}&at=eps%3D2")
    assert off.status_code == 422
    assert off.json()["detail"] == "eps = 2 is not on the grid: it has 1e-08, 1e-06, 0.0001, 0.01, 1"
    figure = "/api/v1/figures/landscape.svg?study=small"
    assert client.get(f"{figure}&pairs=true").content == client.get(f"{figure}&pairs=1").content
    assert client.get(f"{figure}&axes=eps,alpha").content != client.get(figure).content
    assert client.get(f"{figure}&axes=eps,gamma").status_code == 422
    assert client.get("/api/v1/studies/small/separability?axes=alpha,gamma").status_code == 422
    turned = client.get("/api/v1/studies/small/separability?optimizer=adam&axes=eps,alpha").json()
    assert turned["verdicts"][0]["axes"] == ["eps", "alpha"]


def test_verdicts(client: TestClient) -> None:
    found = client.get("/api/v1/studies/small/separability").json()
    assert [verdict["optimizer"] for verdict in found["verdicts"]] == ["adam", "avagrad"]
    assert found["verdicts"][0]["axes"] == ["alpha", "eps"]
    one_axis = client.get("/api/v1/studies/small/separability?where=eps%20%3D%201e-8").json()
    assert [problem["optimizer"] for problem in one_axis["problems"]] == ["adam", "avagrad"]
    assert "fewer than two axes" in one_axis["problems"][0]["detail"]
    assert one_axis["verdicts"] == []


def test_costs(client: TestClient) -> None:
    found = client.get("/api/v1/studies/small/cost").json()
    assert (found["target"], found["budget"]) == (0.01, 20)  # the study's own
    assert [(row["optimizer"], row["tuner"], row["replicates"]) for row in found["rows"]] == [
        ("adam", "random", 6),
        ("avagrad", "random", 6),
    ]
    assert all(row["low"] is None or row["low"] <= (row["high"] or 1e9) for row in found["rows"])
    assert all(0 <= row["reached"] <= 1 for row in found["rows"])
    assert (found["incomplete"], found["notes"]) == (None, [])
    (pair,) = client.get("/api/v1/studies/small/cost?target=0.01&compare=true").json()["rows"]
    assert (pair["on"], pair["first"], pair["second"], pair["confidence"]) == (
        "random",
        "adam",
        "avagrad",
        0.95,
    )
    assert pair["verdict"] in ("cheaper", "dearer", "equal", "undecided")
    short = client.get("/api/v1/studies/small/cost?target=0.01&trials=3").json()["rows"]
    assert all(
        of_three["reached"] < row["reached"] for of_three, row in zip(short, found["rows"], strict=True)
    )
    assert client.get("/api/v1/studies/small/cost?trials=21").status_code == 409  # runs are of 20
    answer = client.get("/api/v1/studies/half/cost")
    assert answer.status_code == 409
    assert answer.json()["detail"] == "half/adam has no tuning runs: run tunability tune"


def test_curves_of_tuners(client: TestClient) -> None:
    found = client.get("/api/v1/studies/small/suboptimality").json()
    assert (found["target"], found["problems"]) == (0.01, [])
    assert [(each["optimizer"], each["tuner"]) for each in found["curves"]] == [
        ("adam", "random"),
        ("avagrad", "random"),
    ]
    curve = found["curves"][0]
    assert curve["trial"] == list(range(1, 21))
    rows = zip(curve["low"], curve["median"], curve["high"], strict=True)
    assert all(low <= median <= high for low, median, high in rows)
    assert curve["observed"] == sorted(curve["observed"], reverse=True)
    known = [cost for cost in curve["costs"] if cost is not None]
    assert known == sorted(known, reverse=True)  # a looser target takes fewer trials
    assert len(curve["targets"]) == len(curve["costs"]) == 40


def test_sensitivities(client: TestClient) -> None:
    found = client.get("/api/v1/studies/small/sensitivity?defaults=alpha=1,eps=1e-8&within=0.02").json()
    assert [each["optimizer"] for each in found["optimizers"]] == ["adam", "avagrad"]
    assert found["problems"] == []
    adam = found["optimizers"][0]
    alpha, eps = adam["hyperparameters"]
    assert adam["default_cost"]["estimate"] == pytest.approx(0.05, abs=0.002)  # a decade from the best
    assert alpha["widths"][0]["tuned"]["estimate"] == pytest.approx(
        0.8, abs=0.05
    )  # 0.4 decades to either side
    assert eps["lost_at_default"]["estimate"] == pytest.approx(0, abs=0.002)
    assert adam["tuned"]["which"] == ["alpha"]
    plain = client.get("/api/v1/studies/small/sensitivity?optimizer=adam").json()["optimizers"]
    assert [each["default_cost"]["estimate"] for each in plain] == [None]
    assert "is not known" in plain[0]["problem"]
    half = client.get("/api/v1/studies/half/sensitivity").json()
    assert half["optimizers"] == []
    assert half["problems"][0] == {
        "optimizer": "adam",
        "detail": "one seed tells nothing of the noise, train a second",
    }
    wrong = client.get("/api/v1/studies/small/sensitivity?within=0")
    assert (wrong.status_code, wrong.json()["detail"][:24]) == (409, "a threshold of 0.0 is no")


@pytest.mark.parametrize(
    "kind", ["landscape", "separability", "sensitivity", "suboptimality", "cost", "profile"]
)
def test_figures(client: TestClient, kind: str) -> None:
    png = client.get(f"/api/v1/figures/{kind}.png?study=small")
    assert png.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(png.content)) as picture:
        assert min(picture.size) > 500


def test_figures_of_other_kinds(client: TestClient) -> None:
    assert client.get("/api/v1/figures/landscape.pdf?study=small").content.startswith(b"%PDF")
    svg = client.get("/api/v1/figures/landscape.svg?study=small/adam&study=half/avagrad")
    assert svg.headers["content-type"] == "image/svg+xml"
    assert client.get("/api/v1/figures/bars.png?study=small").status_code == 404
    assert client.get("/api/v1/figures/cost.png?study=small&study=half").status_code == 422
    assert client.get("/api/v1/figures/cost.gif?study=small").status_code == 422
    assert client.get("/api/v1/figures/cost.png").status_code == 422
    assert client.get("/api/v1/figures/landscape.png?study=smal").status_code == 404


def test_what_did_not_change_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/api/v1/studies/small/landscape")
    again = client.get("/api/v1/studies/small/landscape", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


def test_new_trials_are_seen(client: TestClient, url: str, trials: MakeTrials) -> None:
    before = client.get("/api/v1/studies/half/landscape").json()
    with open_store(url, create=True) as store:
        store.append("half", "adam", trials(1))
    time.sleep(FRESH_SECONDS)
    after = client.get("/api/v1/studies/half/landscape").json()
    assert [each["optimizers"][0]["trials"] for each in (before, after)] == [45, 50]
    assert client.get("/api/v1/studies/half").json()["trials"] == 95


@pytest.fixture
def fresh(client: TestClient, url: str, trials: MakeTrials) -> str:
    """The path of a study that the list of studies, which may be a second old, does not have; its name is no file's."""
    client.get("/api/v1/studies")
    with open_store(url, create=True) as store:
        space = store.space("small")
        store.declare(
            "né w",
            {key: {} for key in ["adam"]},
            space=space,
            metric="error",
            spec={"seeds": 1},
            provenance={},
        )
        store.append("né w", "adam", trials(0))
    return f"/api/v1/studies/{quote('né w')}"


def test_a_study_made_just_now_is_found(client: TestClient, fresh: str) -> None:
    assert client.get(f"{fresh}/landscape").json()["optimizers"][0]["trials"] == 25
    table = client.get(f"{fresh}/trials?format=csv")
    assert table.headers["content-disposition"] == 'attachment; filename="n__w.csv"'


def test_the_progress_of_a_study_made_just_now(client: TestClient, fresh: str) -> None:
    assert client.get(fresh).json()["trials"] == 25


def test_a_table_has_the_columns_of_new_trials(client: TestClient, url: str, trials: MakeTrials) -> None:
    """Also when nothing else was asked for since there was none."""
    with open_store(url, create=True) as store:
        space = store.space("small")
        store.declare(
            "grows",
            {key: {} for key in ["adam"]},
            space=space,
            metric="error",
            spec={"seeds": 1},
            provenance={},
        )
        client.get("/api/v1/studies")
        path = "/api/v1/studies/grows/trials?format=csv"
        assert "train_loss" not in client.get(path).text
        store.append("grows", "adam", trials(0))
        time.sleep(FRESH_SECONDS)
        assert client.get(path).text == store.trials("grows").to_csv(index=False)


def test_seeds_added_for_a_verdict_count_for_it_alone(
    client: TestClient, url: str, trials: MakeTrials
) -> None:
    with open_store(url, create=True) as store:
        store.append("half", "adam", trials(2, slice(5)))
        store.append("small", "adam", trials(2))
    half, small = client.get("/api/v1/studies").json()["studies"]
    assert [(each["trials"], each["expected"], each["state"]) for each in (half, small)] == [
        (90, 100, "stopped"),
        (100, 100, "done"),
    ]
    found = client.get("/api/v1/studies/half/landscape").json()["optimizers"][0]
    assert (found["trials"], found["expected"], found["complete"], found["seeds"]) == (45, 50, False, [0, 1])
    best = client.get("/api/v1/studies/small/landscape").json()["optimizers"][0]["best"]
    assert best["seeds"] == 2
    adam, avagrad = client.get("/api/v1/studies/small/separability").json()["verdicts"]
    assert (adam["seeds"], avagrad["seeds"]) == (3, 2)
    assert len(client.get("/api/v1/studies/small/trials?limit=1000").json()["trials"]) == 125


def test_where_nothing_trained(client: TestClient, url: str, trials: MakeTrials) -> None:
    """`all` diverged everywhere, `sgd` of `some` too: no best, no cost, no verdict, but why."""
    said = "nothing trained, all 25 trials diverged"
    with open_store(url, create=True) as store:
        for name, optimizers in (("all", ["sgd"]), ("some", ["adam", "sgd"])):
            space, spec = store.space("small"), {"seeds": 1}
            store.declare(
                name, {key: {} for key in optimizers}, space=space, metric="error", spec=spec, provenance={}
            )
            for optimizer in optimizers:
                made = trials(0)
                if optimizer == "sgd":
                    made = dataclasses.replace(made, value=np.full(25, 0.9), diverged_at=np.full(25, 2))
                store.append(name, optimizer, made)
                run = TuningRun("random", 0, "seed", "free", 1, space, 20, np.arange(20))
                store.append_runs(name, optimizer, [run])

    adam, sgd = client.get("/api/v1/studies/some").json()["optimizers"]
    assert (adam["problem"], adam["best"]) == (None, pytest.approx(0.1))
    assert (sgd["problem"], sgd["best"], sgd["diverged"]) == (said, None, 25)
    adam, sgd = client.get("/api/v1/studies/some/landscape").json()["optimizers"]
    assert (adam["problem"], sgd["problem"], sgd["best"]) == (None, said, None)
    assert np.all(np.array(sgd["mean"]) == 0.9)
    adam, sgd = client.get("/api/v1/panels", params={"study": "some"}).json()["panels"]
    assert (adam["problem"], adam["best"] is None) == (None, False)
    assert (sgd["problem"], sgd["best"]) == (said, None)

    problems = [{"optimizer": "sgd", "detail": said}]
    found = client.get("/api/v1/studies/some/separability").json()
    assert ([each["optimizer"] for each in found["verdicts"]], found["problems"]) == (["adam"], problems)
    found = client.get("/api/v1/studies/all/separability").json()
    assert (found["verdicts"], found["problems"]) == ([], problems)
    found = client.get("/api/v1/studies/some/cost").json()
    assert ([row["optimizer"] for row in found["rows"]], found["problems"]) == (["adam"], problems)
    for compare in (False, True):
        found = client.get(f"/api/v1/studies/all/cost?compare={compare}").json()
        assert (found["rows"], found["problems"]) == ([], problems)
    for kind in ("separability", "suboptimality", "cost", "profile"):
        drawn = client.get(f"/api/v1/figures/{kind}.svg?study=some")
        assert f"sgd: {said}" in drawn.text
        refused = client.get(f"/api/v1/figures/{kind}.svg?study=all")
        whose = "all/sgd" if kind == "profile" else "sgd"
        assert (refused.status_code, refused.json()["detail"]) == (409, f"{whose}: {said}")
    profile = client.get("/api/v1/figures/profile.svg?study=all&study=some")
    assert f"all/sgd: {said}" in profile.text
    assert said in client.get("/api/v1/figures/landscape.svg?study=all").text
    assert f'data-best="sgd">{said}<' in client.get("/", headers={"accept": "text/html"}).text


def test_values_that_no_database_holds_are_the_askers_mistake(client: TestClient) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps([["optimizer", False], ["adam", 2**31]]).encode()).decode()
    for query in ({"where": "optimizer = 'a\0'"}, {"cursor": cursor.rstrip("=")}):
        answer = client.get("/api/v1/studies/small/trials", params=query)
        assert answer.status_code == 422, answer.text
    answer = client.get("/api/v1/studies/small/trials", params={"where": "seed < " + "9" * 1_900})
    assert answer.status_code == 200


def test_landscapes_and_verdicts_after_fewer_steps(client: TestClient, url: str) -> None:
    path = "/api/v1/studies/small"
    with open_store(url, create=False) as store:
        ended = landscape(store.trials("small", "adam"), store.space("small"), "error").mean("seed")
    (then,) = client.get(f"{path}/landscape?optimizer=adam&step=19").json()["optimizers"]
    np.testing.assert_allclose(np.array(then["mean"], dtype=float), ended.values + 0.1)
    (last,) = client.get(f"{path}/landscape?optimizer=adam&step=20").json()["optimizers"]
    np.testing.assert_allclose(np.array(last["mean"], dtype=float), ended.values)
    assert client.get(f"{path}/separability?step=10").status_code == 200
    early = client.get(f"{path}/landscape?step=9")
    assert early.status_code == 409
    assert early.json()["detail"] == "no trial is known after 9 steps: learning curves begin at step 10"
