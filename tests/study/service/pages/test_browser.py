"""The pages in a real Chromium: what a researcher does with mouse and keyboard, without an error in the console."""

import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from made_up_trials import store_all
from patience import PATIENCE, wait_until

from search_spaces import SearchSpace
from storage.foreign import ForeignTrials, import_trials
from storage.records import Trials, TuningRun
from storage.store import open_store
from study.spec import parse_spec
from study.training.resolve import resolve

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]"
)
Page = playwright.Page
expect = playwright.expect
AT_MOST = 90_000  # milliseconds: a cluster starts meanwhile, maybe on a busy machine
expect.set_options(timeout=AT_MOST)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
TOKEN = "a-token-for-the-tests"
PAGES = [
    "/",
    "/studies/small",
    "/studies/half",
    "/new",
    "/trials",
    "/compare?study=small&study=half/adam",
    "/docs",
]
MakeTrials = Callable[..., Trials]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        # Without a sandbox, which root and containers do not have; it shows nothing but our own pages.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def store_url(original: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the store, for all tests here: one service keeps what the browser has cached of it useful."""
    return f"sqlite:///{shutil.copy(original, tmp_path_factory.mktemp('browser') / 'tunability.db')}"


@pytest.fixture(scope="module")
def address(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the service listens."""
    with serving(store_url, tmp_path_factory.mktemp("state")) as address:
        yield address


@contextmanager
def serving(store_url: str, state: Path, *options: str) -> Iterator[str]:
    """The address of a service as a process, maybe with a cluster of its own; both are gone afterwards."""
    command = [str(Path(sys.executable).with_name("tunability")), "serve"]
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(state),
        "TUNABILITY_STORAGE": store_url,
        "TUNABILITY_TOKEN": TOKEN,
    }
    with subprocess.Popen(
        [*command, "--port", "0", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as service:
        assert service.stdout is not None
        try:
            yield service.stdout.readline().removeprefix("open ").partition("/?")[0]
        finally:
            service.terminate()
            service.wait()
            subprocess.run(
                [*command, "--stop-cluster"], env=environment, check=True, stdout=subprocess.DEVNULL
            )


def new_context(browser: Any, **options: Any) -> Any:
    """A browser with patience: the service's process has a low priority, and other tests keep the cores busy."""
    context = browser.new_context(**options)
    context.set_default_timeout(AT_MOST)
    return context


@pytest.fixture(scope="module")
def context(browser: Any, address: str) -> Iterator[Any]:
    """A browser that is signed in."""
    context = new_context(browser, viewport={"width": 1280, "height": 844})
    context.new_page().goto(f"{address}/?token={TOKEN}")
    yield context
    context.close()


class Visit:
    """Opens pages of the service and keeps the errors of their consoles, violations of the policy among them."""

    def __init__(self, context: Any, address: str) -> None:
        self.address = address
        self.errors: list[str] = []
        self.page = context.new_page()
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def heard(self, said: Any) -> None:
        if said.type == "error":
            self.errors.append(f"{said.text} {said.location['url'].removeprefix(self.address)}")

    def __call__(self, path: str) -> Any:
        self.page.goto(f"{self.address}{path}")
        return self.page

    def delete(self, store_url: str, study: str) -> None:
        """Leave the page, which may still ask for the study, delete it, and wait until the service knows."""
        self.page.goto("about:blank")
        with open_store(store_url, create=True) as store:
            store.delete(study)
        wait_until(lambda: study not in self.listed())  # the next test's page would still show it

    def listed(self) -> list[str]:
        """The studies that the service shows."""
        return [
            each["name"] for each in self.page.request.get(f"{self.address}/api/v1/studies").json()["studies"]
        ]


@pytest.fixture
def visit(context: Any, address: str) -> Iterator[Visit]:
    visit = Visit(context, address)
    yield visit
    visit.page.close()
    assert visit.errors == []


def landscapes(page: Any) -> Any:
    """The landscapes, once they are drawn."""
    found = page.locator(".landscape")
    expect(found.first.locator(".heatmaplayer image").last).to_be_visible()
    return found


def cell_at(landscape: Any, across: float, up: float) -> dict[str, float]:
    """Where in a landscape to point, as shares of the drawn area."""
    box = landscape.locator(".nsewdrag").bounding_box()
    return {"x": box["x"] + across * box["width"], "y": box["y"] + (1 - up) * box["height"]}


def test_a_wrong_token_is_refused_and_the_right_one_asked_for(browser: Any, address: str) -> None:
    context = new_context(browser)
    page = context.new_page()
    for query, said in (("", "This page needs the token."), ("?token=wrong", "That token is wrong.")):
        answer = page.goto(f"{address}/{query}")
        assert answer.status == 401
        assert said in page.inner_text("main")
        assert page.locator("#studies").count() == 0
    for token, heading in (("wrong again", "Tunability"), (TOKEN, "Studies")):
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name=heading, exact=True, level=1).wait_for()
    assert "token" not in page.url
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_quiet_labelled_and_fit(visit: Visit, path: str) -> None:
    page = visit(path)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        if path.startswith(("/studies", "/compare")):
            landscapes(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for field in page.locator("input:not([type=hidden]), select, textarea").all():
        assert field.evaluate("each => each.labels.length") == 1, field.get_attribute("id")
    if path.startswith("/studies"):
        expect(page.locator(".waiting")).to_have_count(0)
    if path == "/docs":
        expect(page.locator("#swagger-ui .opblock").first).to_be_visible()
    page.evaluate(AXE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        # what Swagger UI makes is its own
        found = page.evaluate("async () => (await axe.run({exclude: [['#swagger-ui']]})).violations")
        assert [(scheme, each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_dark_mode_reaches_the_charts(visit: Visit) -> None:
    page = visit("/studies/small")
    landscapes(page)
    title = page.locator(".landscape .xtitle").first
    expect(title).to_have_css("fill", "rgb(27, 31, 35)")
    page.emulate_media(color_scheme="dark")
    expect(title).to_have_css("fill", "rgb(228, 231, 234)")
    expect(page.locator("body")).to_have_css("background-color", "rgb(20, 23, 26)")


def test_a_cell_is_pointed_at_and_clicked(visit: Visit) -> None:
    page = visit("/studies/small")
    first = landscapes(page).first
    page.mouse.move(**cell_at(first, 0.1, 0.5))
    expect(page.locator(".hovertext").first).to_contain_text("α = 0.1, ε = 1e-8")
    expect(page.locator(".hovertext").first).to_contain_text("seed 1: 10.1%")
    expect(page.locator(".preview .scatterlayer .trace")).to_have_count(2)
    page.mouse.click(**cell_at(first, 0.1, 0.5))
    expect(page.locator("#cell-title")).to_have_text("Cell: adam, α = 0.1, ε = 1e-8")
    expect(page.locator("#cell-content tbody tr")).to_have_count(2)
    left = page.locator("#cell").bounding_box()["x"]  # the inspector stands beside the maps
    maps = [landscape.bounding_box() for landscape in landscapes(page).all()]
    assert len(maps) == 2
    assert all(each["x"] + each["width"] <= left for each in maps)
    expect(page.locator(".preview")).to_be_hidden()
    expect(page.locator("#cell-content .scatterlayer .trace")).to_have_count(2)
    page.get_by_text("The curves as a table").first.click()
    expect(page.get_by_role("row", name="10 20% 20.1%")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".preview")).to_be_visible()


def test_a_preview_is_as_wide_as_its_place_after_a_cell_was_pinned(visit: Visit) -> None:
    page = visit("/studies/small?cell=adam&at=alpha%3D0.1&at=eps%3D0.0001")
    first = landscapes(page).first
    expect(page.locator("#cell-content tbody tr")).to_have_count(2)
    page.mouse.move(**cell_at(first, 0.1, 0.5))
    expect(page.locator(".hovertext").first).to_contain_text("α = 0.1, ε = 1e-8")
    page.wait_for_timeout(1_000)  # a preview would come
    page.keyboard.press("Escape")
    page.mouse.move(**cell_at(first, 0.5, 0.5))
    expect(page.locator(".preview .scatterlayer .trace")).to_have_count(2)
    drawn, place = (page.locator(each).bounding_box() for each in (".preview .main-svg >> nth=0", ".preview"))
    assert drawn["width"] <= place["width"]


def test_the_keyboard_reaches_a_cell(visit: Visit) -> None:
    page = visit("/studies/small")
    landscapes(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if "landscape" in page.evaluate("document.activeElement.className"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowUp")  # the first key shows the best cell
    expect(page.locator("#announcer")).to_contain_text("α = 0.1, ε = 1e-4, mean 10.1%")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#announcer")).to_contain_text("α = 1, ε = 0.01, mean")
    page.keyboard.press("Enter")
    expect(page.locator("#cell-title")).to_have_text("Cell: adam, α = 1, ε = 0.01")
    expect(page.locator("#cell")).to_be_focused()


def test_the_address_holds_the_view(visit: Visit) -> None:
    page = visit("/trials?study=small&optimizer=avagrad&where=seed%20%3D%200%20and%20alpha%20%3D%200.01")
    page.locator("#table tbody tr").nth(1).get_by_role("link").click()
    title = page.locator("#cell-title")
    expect(title).to_have_text("Cell: avagrad, α = 0.01, ε = 1e-6")
    expect(page.locator("#cell-content tbody tr")).to_have_count(2)
    landscape = landscapes(page).nth(1)
    marked = landscape.locator(".shapelayer path")
    expect(marked).to_have_count(1)
    page.get_by_label("Target: suboptimality").fill("0.02")
    expect(page).to_have_url(re.compile(r"\?target=0.02&cell=avagrad&at=alpha%3D0.01&at=eps%3D0.000001$"))
    page.reload()
    expect(title).to_have_text("Cell: avagrad, α = 0.01, ε = 1e-6")
    expect(page.get_by_label("Target: suboptimality")).to_have_value("0.02")
    expect(marked).to_have_count(1)
    landscape.focus()
    page.keyboard.press("ArrowUp")
    expect(title).to_have_text("Cell: avagrad, α = 0.1, ε = 1e-6")  # the inspector follows
    page.keyboard.press("Escape")
    expect(page.locator("#cell")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/studies/small\?target=0.02$"))


@pytest.fixture
def four_axes(visit: Visit, store_url: str, trials: MakeTrials) -> Iterator[str]:
    """A study of four axes with two seeds, whose curves fall by 0.3 between steps 10 and 20."""
    name = "four-axes"
    space = SearchSpace.from_table(
        {"alpha": [0.01, 0.1, 1.0], "eps": [1e-8, 1e-4, 1.0], "beta1": [0.5, 0.9], "width": [10.0, 20.0]}
    )
    cells = dict(zip(space.names, space.cells().T, strict=True))
    away = np.abs(np.log10(cells["alpha"]) + 1) / 10 + np.abs(cells["beta1"] - 0.9)
    with open_store(store_url, create=True) as store:
        store.declare(name, {"adam": {}}, space=space, metric="error", spec={"seeds": 2}, provenance={})
        for seed in range(2):
            value = 0.1 + away + seed * cells["beta1"] / 100
            made = dataclasses.replace(
                trials(0, slice(1)),
                hyperparameters=cells,
                seed=seed,
                value=value,
                metrics={},
                curve=np.stack([value + 0.3, value], axis=1),
                diverged_at=np.full(len(value), -1),
                seconds=np.full(len(value), 0.1),
            )
            store.append(name, "adam", made)
    yield name
    visit.delete(store_url, name)


def test_the_view_is_chosen_and_kept_in_the_address(visit: Visit, four_axes: str) -> None:
    page = visit(f"/studies/{four_axes}")
    landscape, legend = landscapes(page).first, page.locator("#legend")
    summary = page.locator(".panel p").first
    page.get_by_label("beta1", exact=True).select_option("0.5")
    expect(summary).to_contain_text("50.2%")
    expect(summary).to_contain_text("at beta1 = 0.5")
    verdicts = page.locator("#separability")
    expect(verdicts).to_contain_text("As on the map above: beta1 = 0.5.")
    page.get_by_label("Upwards").select_option("eps")
    expect(page.get_by_label("across")).to_have_value("alpha")
    page.get_by_label("Show").select_option("standard deviation over seeds")
    expect(legend).to_contain_text("error (standard deviation of 2 seeds)")
    page.mouse.move(**cell_at(landscape, 0.5, 0.5))
    expect(page.locator(".hovertext").first).to_contain_text("standard deviation 0.354%")
    page.get_by_label("Show").select_option("seed 1")
    page.get_by_role("slider", name="After").fill("0")
    expect(legend).to_contain_text("error (seed 1, after 10 steps)")
    expect(summary).to_contain_text("80.5%")
    asked = "axis=eps&axis=alpha&hold=beta1%3D0.5&seed=1&step=10"
    expect(page).to_have_url(re.compile(rf"/studies/{four_axes}\?{asked}$"))
    page.reload()
    expect(summary).to_contain_text("80.5%")
    expect(page.get_by_label("beta1", exact=True)).to_have_value("0.5")
    expect(page.get_by_role("slider", name="After")).to_have_attribute("aria-valuetext", "10 steps")
    expect(page.get_by_label("Show")).to_have_value("1")
    expect(verdicts).to_contain_text("As on the map above: beta1 = 0.5, after 10 steps.")
    expect(verdicts.locator("h3")).to_have_text(["adam: ε and α"])
    page.get_by_label("beta1", exact=True).select_option("at its best")
    expect(summary).to_contain_text("40.9%")


def test_all_axes_are_drawn_at_once(visit: Visit, four_axes: str) -> None:
    page = visit(f"/studies/{four_axes}")
    page.get_by_text("Every cell as a line").click()
    chart = page.locator(".parallel")
    expect(chart.locator(".xtick text")).to_have_text(["α", "ε", "beta1", "width", "error"])
    best = chart.locator(".scatterlayer .trace").last.locator(".js-line")
    expect(best).to_have_css("stroke-width", "3.5px")
    expect(chart.locator(".annotation-text").filter(has_text="10.5%")).to_be_visible()
    page.get_by_text("The best cells as a table").click()
    told = page.locator("#parallel tbody tr")
    expect(told).to_have_count(20)
    expect(told.first).to_have_text(re.compile(r"^0.1\S+0.9\S+10.5%$"))
    assert visit("/studies/small").locator("#parallel").is_hidden()


def test_several_cells_are_pinned(visit: Visit) -> None:
    page = visit("/studies/small")
    first, second = (landscapes(page).nth(k) for k in range(2))
    title, rows = page.locator("#cell-title"), page.locator("#cell-content tbody th")
    page.mouse.click(**cell_at(first, 0.1, 0.5))
    expect(title).to_have_text("Cell: adam, α = 0.1, ε = 1e-8")
    expect(page.locator("#cell-content .scatterlayer .trace")).to_have_count(2)
    page.keyboard.down("Shift")
    page.mouse.move(**cell_at(first, 0.5, 0.9))
    expect(page.locator(".hovertext").first).to_contain_text("α = 10, ε = 1e-4")
    page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(title).to_have_text("2 cells")
    page.get_by_role("button", name="Add cells").click()
    page.mouse.click(**cell_at(second, 0.9, 0.7))
    told = ["1: adam, α = 0.1, ε = 1e-8", "2: adam, α = 10, ε = 1e-4"]
    expect(rows).to_have_text([*told, "3: avagrad, α = 1, ε = 1"])
    expect(page.locator("#cell-content .legendtext")).to_have_text(["1", "2", "3"])
    expect(page.locator("#cell-content .scatterlayer .trace")).to_have_count(3 * 2)
    expect(first.locator(".textpoint")).to_have_text(["1", "2"])
    expect(second.locator(".textpoint")).to_have_text(["3"])
    expect(page).to_have_url(re.compile(r"\?(cell=(adam|avagrad)&at=alpha[^&]*&at=eps[^&]*&?){3}$"))
    page.reload()
    expect(rows).to_have_text([*told, "3: avagrad, α = 1, ε = 1"])
    page.get_by_role("button", name="Remove avagrad").click()
    expect(rows).to_have_text(told)
    expect(first.locator(".textpoint")).to_have_text(["1", "2"])
    page.mouse.click(**cell_at(first, 0.5, 0.9))  # without Shift it is the only one
    expect(title).to_have_text("Cell: adam, α = 10, ε = 1e-4")
    page.keyboard.press("Escape")
    expect(page.locator("#cell")).to_be_hidden()
    expect(page).to_have_url(re.compile("/studies/small$"))


def test_hyperparameters_are_called_by_their_symbols(visit: Visit) -> None:
    page = visit("/studies/small")
    page.locator("#sensitivity").scroll_into_view_if_needed()
    card = page.locator("#sensitivity .card").first
    expect(card.locator("tbody th")).to_have_text(["α, decades", "ε, decades"])
    expect(card.locator(".xtitle")).to_have_text(["α", "ε"])
    expect(page.locator("#separability .card").first).to_be_visible()
    for part in ("#sensitivity", "#separability"):
        assert not re.search(r"\b(alpha|eps)\b", page.locator(part).inner_text())
    script = "async (address) => (await import(address)).inSymbols('alpha/eps of alpha-net, alphabet: eps')"
    address = visit("/new").locator('script[type="module"]').get_attribute("src")
    found = visit.page.evaluate(script, address.replace("new.js", "symbols.js"))
    assert found == "α/ε of alpha-net, alphabet: ε"


def test_every_chart_is_a_table_too(visit: Visit, client: TestClient) -> None:
    page = visit("/studies/small")
    landscapes(page)
    page.get_by_text("The cells of adam as a table").click()
    table = page.get_by_role("table").filter(has_text="adam: error, mean over seeds")
    told = client.get("/api/v1/studies/small/landscape").json()["optimizers"][0]
    rows = table.locator("tbody tr").all_inner_texts()
    assert rows[::-1] == [
        "\t".join([f"{alpha:g}", *(f"{100 * mean:.3g}%" for mean in means)])
        for alpha, means in zip([1e-3, 0.01, 0.1, 1, 10], told["mean"], strict=True)
    ]
    assert table.locator(".best-cell").count() == 1
    expect(page.locator("#separability table")).to_have_count(2)
    expect(page.locator("#cost tbody tr")).to_have_count(2)


def test_verdicts_are_cards_and_ridges_on_the_landscape(visit: Visit) -> None:
    page = visit("/studies/half")
    first = landscapes(page).first
    hollow = first.locator('.scatterlayer .point[style*="fill-opacity: 0.15"]')
    expect(hollow).to_have_count(5 + 1)  # the ridge and the star: some seeds are to come
    expect(page.locator("#legend .key")).to_contain_text("best cell, hollow: so far")
    expect(page.locator("#legend .key")).to_contain_text("best α for each ε, 95% interval")
    card = page.locator("#separability .card").first
    expect(card.get_by_role("heading")).to_have_text("adam: α and ε")
    expect(card.locator(".badge")).to_have_text(["→ decoupled", "so far"])
    expect(card).to_contain_text("So far: α and ε can be tuned one at a time.")
    expect(card.locator(".regret .heatmaplayer image")).to_be_visible()
    page.get_by_text("The transfer regret as a table").first.click()
    expect(card.get_by_role("row", name=re.compile("^1e-8 0%"))).to_be_visible()
    page = visit("/studies/small")
    page.mouse.move(**cell_at(landscapes(page).first, 0.5, 0.5))
    expect(page.locator(".hovertext").first).to_contain_text("the best cell; on unseen seeds 10.1%")
    expect(page.locator("#separability")).not_to_contain_text("o far")


def test_what_tuners_do_is_drawn_and_compared(visit: Visit) -> None:
    page = visit("/studies/small")
    expect(page.locator("#curves .card")).to_have_count(4)  # of each optimizer curves, and trials for targets
    page.get_by_text("The curves as a table").first.click()
    expect(page.locator("#curves details").first.locator("tbody tr")).to_have_count(20)
    expect(page.locator("#curves .card").first.locator(".scatterlayer .js-line").first).to_be_attached()
    badge = page.locator("#comparisons tbody .badge")
    expect(badge).to_have_text(re.compile("cheaper|dearer|equal|undecided"))
    expect(page.locator("#comparisons tbody tr").first).to_contain_text("randomadam against avagrad")


def test_a_line_for_each_of_the_nine_tuners_looks_like_no_other(visit: Visit) -> None:
    page = visit("/studies/small")
    styles = page.evaluate("""async () => {
        const script = document.querySelector('script[src$="/study.js"]').src;
        const { style } = await import(script.replace("study.js", "chart.js"));
        return [...Array(9).keys()].map((place) => style(place));
    }""")
    for kind in ("dash", "mark"):
        assert len({(each["colour"], each[kind]) for each in styles}) == 9


def test_curves_have_their_names_beside_them(visit: Visit) -> None:
    page = visit("/studies/small")
    chart = page.locator("#curves .chart").first
    expect(chart.locator(".legend")).to_be_attached()
    areas = [chart.locator(part).bounding_box() for part in (".nsewdrag", ".legend")]
    assert areas[0]["x"] + areas[0]["width"] <= areas[1]["x"]
    assert areas[0]["height"] > 150


def test_sensitivity_is_told_beside_importance(visit: Visit) -> None:
    page = visit("/studies/small")
    page.locator("#sensitivity").scroll_into_view_if_needed()
    cards = page.locator("#sensitivity .card")
    expect(cards).to_have_count(2)
    expect(cards.first.locator(".profile")).to_have_count(2)
    expect(cards.first.locator("thead")).to_contain_text("width within 0.5%")
    expect(cards.first.locator("thead")).to_contain_text("fANOVAPED-ANOVA")
    expect(cards.first.locator("tbody tr").first).to_contain_text("decades")


def test_colours_are_for_cells_that_trained(visit: Visit) -> None:
    page = visit("/studies/small")
    maps = landscapes(page)
    expect(page.locator("#legend")).to_contain_text("grey: every trial diverged")
    expect(page.locator("#legend")).to_contain_text("white lines: best + 0.5, 1, 2 points")
    expect(maps.first.locator(".contour")).to_have_count(3)
    expect(maps.first.locator(".heatmaplayer image")).to_have_count(2)
    sizes = "each => [...each.querySelectorAll('text')].map((text) => parseFloat(getComputedStyle(text).fontSize))"
    assert max(maps.first.evaluate(sizes)) <= 14


def test_studies_are_found_by_what_is_said_of_them(visit: Visit) -> None:
    page = visit("/")
    small = page.locator('[data-study="small"]')
    expect(small.locator(".verdicts li").first).to_contain_text("adam, α and ε")
    expect(small.locator("canvas")).to_have_count(2)
    expect(small.locator("time")).to_have_count(1)
    page.get_by_label("Search").fill("stopped adam")
    expect(page.locator("#found")).to_have_text(re.compile(r"^1 of \d+$"))
    expect(small).to_be_hidden()
    expect(page.locator('[data-study="half"]')).to_be_visible()
    page.get_by_label("Search").fill("")
    expect(small).to_be_visible()


def test_a_regime_has_a_badge_and_left_out_rows_a_mark(
    visit: Visit, store_url: str, trials: MakeTrials
) -> None:
    space = SearchSpace.from_table(
        {
            "alpha": {"low": 1e-4, "high": 100.0, "num": 25},
            "eps": {"low": 1e-8, "high": 1.0, "num": 17},
        }
    )
    alpha, eps = np.log10(space.cells()).T
    cells = dict(zip(space.names, space.cells().T, strict=True))
    with open_store(store_url, create=True) as store:
        store.declare("bends", {"adam": {}}, space=space, metric="error", spec={"seeds": 3}, provenance={})
        for seed in range(3):
            noise = np.random.default_rng(seed).normal(0, 1e-4, len(alpha))
            value = 0.1 + 0.02 * (alpha + 2 - np.maximum(eps + 4, 0)) ** 2 + noise
            count = len(value)
            made = dataclasses.replace(
                trials(0),
                hyperparameters=cells,
                seed=seed,
                value=value,
                metrics={},
                curve_steps=np.array([1]),
                curve=value[:, None],
                diverged_at=np.full(count, -1),
                seconds=np.full(count, 0.1),
            )
            store.append("bends", "adam", made)
    page = visit("/studies/bends")
    landscapes(page)
    card = page.locator("#separability .card")
    expect(card.locator(".badge")).to_have_text(["→ decoupled", "↗ coupled"])
    expect(card.locator(".regime").first).to_contain_text("ε below")
    expect(card).to_contain_text("α and ε have to be tuned together where ε is above")
    expect(page.locator("#legend .key")).to_contain_text("ε that the ridge leaves out")
    expect(page.locator(".landscape .shapelayer path")).to_have_count(2)  # the transition with its interval
    page.get_by_text("The ridge as a table").click()
    expect(card.get_by_role("row", name="1 left out", exact=True)).to_be_visible()
    home = visit("/").locator('[data-study="bends"] .verdicts')
    expect(home).to_contain_text(re.compile("adam, α and ε: → decoupled ε below .*↗ coupled ε above"))
    visit.delete(store_url, "bends")


def test_costs_beyond_the_budget_are_drawn_and_said(visit: Visit) -> None:
    def row(tuner: str, *found: float | None) -> dict[str, Any]:
        names = ("median", "low", "high", "reached", "reached_low", "reached_high", "observed")
        return {"optimizer": "adam", "tuner": tuner, "replicates": 6, **dict(zip(names, found, strict=True))}

    rows = [
        row("known", 12, 8, 20, 0.9, 0.8, 1, 11),
        row("open", 30, 9, None, 0.6, 0.2, 0.8, 31),
        row("beyond", None, 25, None, 0.3, 0, 0.6, None),
        row("one seed", None, None, None, None, None, None, 14),
    ]
    answer = {"metric": "error", "budget": 40, "incomplete": None, "notes": [], "problems": [], "rows": rows}
    page = visit.page
    page.route("**/cost?*", lambda route: route.fulfill(json=answer))
    visit("/studies/small")
    expect(page.locator("#target")).to_have_value("0.01")  # the study's own
    told = page.locator("#cost tbody tr")
    expect(told).to_have_text(
        [
            "adamknown12[8, 20]90% [80%, 100%]11, 6 runs",
            "adamopen30[9, more than 40]60% [20%, 80%]31, 6 runs",
            "adambeyondmore than 40[25, more than 40]30% [0%, 60%]more than 40, 6 runs",
            "adamone seednot known––14, 6 runs",
        ]
    )
    expect(page.locator("#cost .annotation-text")).to_have_text(
        ["runs that reach it", "90%", "60%", "30%", "–", "more than 40"]
    )
    expect(page.locator("#cost .scatterlayer path.point")).to_have_count(
        3 + 2
    )  # dots, and arrows at the budget
    page.locator("#target").fill("0.2")
    for kind in ("cost", "suboptimality", "profile"):
        link = page.locator(f'a[download="small-{kind}.svg"]')
        expect(link).to_have_attribute("href", re.compile("target=0.2$"))


def test_a_lost_connection_is_told(visit: Visit) -> None:
    visit.page.route("**/api/v1/events*", lambda route: route.abort())
    page = visit("/studies/small")
    expect(page.locator("#connection")).to_contain_text("The service does not answer: what you see is of")
    page.unroute("**/api/v1/events*")
    expect(page.locator("#connection")).to_be_hidden(timeout=30_000)
    visit.errors.clear()  # of the streams that broke


def test_pages_in_the_background_take_no_connection(browser: Any, address: str) -> None:
    """A browser has six to a host, for all pages together."""
    context = new_context(browser)
    context.new_page().goto(f"{address}/?token={TOKEN}")
    for _ in range(8):
        page = context.new_page()
        page.goto(f"{address}/studies/small")
        landscapes(page)
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    context.close()


def test_a_landscape_fills_in_while_trials_land(visit: Visit, store_url: str, trials: MakeTrials) -> None:
    with open_store(store_url, create=True) as store:
        half = store.about("half")
        recipes = {optimizer: {} for optimizer in half.optimizers}
        store.declare("filling", recipes, space=half.space, metric=half.metric, spec=half.spec, provenance={})
        for optimizer in half.optimizers:
            store.append("filling", optimizer, trials(0), trials(1, slice(20)))
    page = visit("/studies/filling")
    landscapes(page)
    summary = page.locator(".panel p").first
    expect(summary).to_contain_text("45 of 50 trials")
    expect(page.locator("#legend")).to_contain_text("some seeds to come")
    with open_store(store_url, create=True) as store:
        store.append("filling", "adam", trials(1))
    expect(summary).not_to_contain_text("of 50 trials")
    expect(page.locator('#progress [data-field="trials"]')).to_have_text("95")
    visit.delete(store_url, "filling")


def test_failures_are_told_and_unfold(visit: Visit, store_url: str, trials: MakeTrials) -> None:
    space = SearchSpace.from_table({"alpha": [0.1, 1.0, 10.0], "eps": [1e-8, 1.0]})
    cells = dict(zip(space.names, space.cells().T, strict=True))
    made = dataclasses.replace(trials(0, slice(space.size)), hyperparameters=cells)
    with open_store(store_url, create=True) as store:
        store.declare("failing", {"sgd": {}}, space=space, metric="error", spec={"seeds": 1}, provenance={})
        page = visit("/studies/failing")
        expect(page.locator("#failures")).to_be_hidden()
        cells = made.cells()[:2]
        store.append_failures(
            "failing", "sgd", cells, 0, "it ended with exit code 9", "<b>a line</b>\nanother"
        )
        folded = page.get_by_text("2 trials failed")
        expect(folded).to_be_visible()
        expect(page.locator("#failures details")).to_have_count(0)
        folded.click()
        page.get_by_text("sgd, alpha = 0.1, eps = 1e-8, seed 0: it ended with exit code 9").click()
        expect(page.locator("#failures pre").last).to_have_text("<b>a line</b>\nanother")
        expect(page.locator("#failures pre").last).to_be_visible()
        expect(page.locator("#failures pre").first).to_be_hidden()
        store.append_failures("failing", "sgd", cells[:1], 0, "the worker died")
        expect(page.locator("#failures summary").nth(1)).to_contain_text("the worker died")
        store.append("failing", "sgd", made)
        expect(page.locator("#failures")).to_be_hidden()
    visit.delete(store_url, "failing")


def test_odd_names_and_three_axes(visit: Visit, store_url: str, trials: MakeTrials) -> None:
    name, optimizer = "<img src=x onerror=alert(1)>&\"'%{x}?# ü", "<b>my&%{y}"
    axes = {"alpha": [0.1, 1.0, 10.0], "eps": [1e-8, 1.0, 100.0], "beta1": [0.5, 0.9]}
    space = SearchSpace.from_table(axes)
    made = trials(0, slice(space.size))
    cells = dict(zip(space.names, space.cells().T, strict=True))
    with open_store(store_url, create=True) as store:
        store.declare(
            name,
            {key: {} for key in [optimizer]},
            space=space,
            metric="error",
            spec={"seeds": 1},
            provenance={},
        )
        store.append(name, optimizer, dataclasses.replace(made, hyperparameters=cells))
    page = visit("/")
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    first = landscapes(page).first
    expect(page.get_by_role("heading", name=optimizer, exact=True)).to_be_visible()
    page.mouse.move(**cell_at(first, 0.1, 0.1))
    expect(page.locator(".hovertext").first).to_contain_text("best at beta1 = ")
    page.get_by_label("across").select_option("beta1")
    expect(page.locator(".landscape .xtitle")).to_have_text("beta1")
    page.mouse.click(**cell_at(first, 0.1, 0.1))
    expect(page.locator("#cell-title")).to_contain_text(f"{optimizer}, α = 0.1, beta1 = 0.5, ε = ")
    page.get_by_role("link", name="Browse the trials").click()
    expect(page.locator("#table tbody tr")).to_have_count(18)
    expect(page.locator("#table tbody tr").first).to_contain_text(optimizer)
    page.goto(f"{visit.address}/compare")
    page.get_by_role("checkbox", name=f"{name}/{optimizer}").check()
    expect(page.locator(".panel h3")).to_have_text(f"{name}/{optimizer}")
    visit.delete(store_url, name)


def test_one_axis_has_no_verdict_to_download(visit: Visit, store_url: str) -> None:
    rates = np.geomspace(1e-4, 1.0, 5)
    found = ForeignTrials("here", ("lr",), rates[:, None], np.log10(rates) ** 2, "loss")
    with open_store(store_url, create=True) as store:
        import_trials(store, found, "one-axis", "theirs")
    page = visit("/studies/one-axis")
    expect(page.locator("#separability")).to_contain_text(
        "no verdict: the landscape of 'theirs' has fewer than two axes"
    )
    expect(page.locator(".downloads li", has_text="Landscapes")).to_be_visible()
    expect(page.locator(".downloads li", has_text="Separability")).to_be_hidden()
    page = visit("/studies/small")
    expect(page.locator("#separability .card")).to_have_count(2)
    expect(page.locator(".downloads li", has_text="Separability")).to_be_visible()
    visit.delete(store_url, "one-axis")


def test_scattered_trials_are_shown_by_a_surrogate(visit: Visit, store_url: str) -> None:
    rng = np.random.default_rng(0)
    decades = rng.uniform((-4, -8), (0, 0), (40, 2))
    values = 0.1 + np.tanh(0.1 * ((decades - (-2, -4)) ** 2).sum(axis=1))
    curves = [(np.array([10, 20]), np.array([value + 0.1, value])) for value in values]
    found = ForeignTrials("here", ("lr", "wd"), 10**decades, values, "loss", curves=curves)
    with open_store(store_url, create=True) as store:
        import_trials(store, found, "scattered", "theirs")
    page = visit("/studies/scattered")
    first = landscapes(page).first
    expect(page.locator("#progress .numbers")).to_have_text("40 trials")
    expect(page.locator(".panel p").first).to_contain_text("a surrogate of 40 scattered trials")
    page.mouse.move(**cell_at(first, 0.5, 0.5))
    expect(page.locator(".hovertext").first).to_contain_text("surrogate ")
    expect(page.locator(".preview")).to_contain_text("the 5 trials nearest to theirs, lr = ")
    page.mouse.click(**cell_at(first, 0.5, 0.5))
    expect(page.locator("#cell-title")).to_contain_text("Place: theirs, lr = ")
    expect(page.locator("#cell-content")).to_contain_text("A surrogate has no trials of its own")
    expect(page.locator("#cell-content tbody tr")).to_have_count(5)
    expect(page.locator("#cell-content .scatterlayer .trace")).to_have_count(5)
    expect(page.get_by_role("button", name="Run the tuners")).to_have_count(0)
    page.locator("#target").fill("0.2")
    page.get_by_label("Trials a run").fill("5")
    page.get_by_role("button", name="Replay the tuners").click()
    said = "replayed on draws of a surrogate of 40 scattered trials"
    expect(page.locator("#cost")).to_contain_text(said, timeout=1_000 * PATIENCE)
    expect(page.locator("#cost tbody tr")).to_have_count(5)
    page.get_by_role("link", name="These trials in the list of all").click()
    expect(page.locator("#table tbody tr")).to_have_count(5)
    page.goto(f"{visit.address}/")
    expect(page.locator('[data-study="scattered"] .numbers')).to_have_text("40 trials")
    visit.delete(store_url, "scattered")


def test_one_axis_is_a_curve(visit: Visit, store_url: str, trials: MakeTrials) -> None:
    space = SearchSpace.from_table({"alpha": [0.01, 0.1, 1.0, 10.0]})
    made = dataclasses.replace(
        trials(0, slice(space.size)),
        hyperparameters={"alpha": space.cells()[:, 0]},
        value=np.array([0.1, 0.2, 0.3, 0.4]),
        diverged_at=np.full(space.size, -1),
    )
    with open_store(store_url, create=True) as store:
        store.declare(
            "one", {key: {} for key in ["sgd"]}, space=space, metric="error", spec={"seeds": 1}, provenance={}
        )
        store.append("one", "sgd", made)
    page = visit("/studies/one")
    expect(page.locator(".panel p").first).to_contain_text("best cell α = 0.01: 10%, at the edge of α")
    first = page.locator(".landscape").first
    expect(first.locator(".scatterlayer .js-line")).to_have_count(1)
    expect(page.locator("#legend")).to_be_hidden()
    page.mouse.click(**cell_at(first, 0.35, 0.9))
    expect(page.locator("#cell-title")).to_have_text("Cell: sgd, α = 0.1")
    expect(page.locator("#separability")).to_contain_text("fewer than two axes")
    expect(page.get_by_role("button", name="Run the tuners")).to_be_visible()
    first.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#announcer")).to_contain_text("α = ")
    visit.delete(store_url, "one")


def test_where_nothing_trained(visit: Visit, store_url: str, trials: MakeTrials) -> None:
    """No star, no cost and no verdict, but why; and every request is answered."""
    said = "nothing trained, all 25 trials diverged"
    made = dataclasses.replace(trials(0), value=np.full(25, 0.9), diverged_at=np.full(25, 2))
    with open_store(store_url, create=True) as store:
        space = store.space("small")
        store.declare(
            "lost",
            {key: {} for key in ["sgd"]},
            space=space,
            metric="error",
            spec={"seeds": 1},
            provenance={},
        )
        store.append("lost", "sgd", made)
        store.append_runs(
            "lost", "sgd", [TuningRun("random", 0, "seed", "free", 1, store.space("lost"), 20, np.arange(20))]
        )
    page = visit("/studies/lost")
    drawn = landscapes(page)
    expect(page.locator(".panel p").first).to_have_text(said)
    expect(drawn.locator(".scatterlayer .point")).to_have_count(0)
    expect(page.locator("#legend .key")).to_have_text("grey: every trial diverged")
    expect(page.locator("#separability")).to_have_text(f"sgd: no verdict: {said}")
    expect(page.locator("#cost")).to_have_text(f"sgd: {said}")
    page = visit("/compare?study=lost/sgd&study=small/adam")
    expect(page.locator("#cost")).to_contain_text(f"lost/sgd: {said}")
    expect(page.locator("#verdicts")).to_contain_text(said)
    expect(visit("/").locator('[data-study="lost"] [data-best="sgd"]')).to_have_text(said)
    visit.delete(store_url, "lost")


def test_trials_of_several_studies_by_one_filter(visit: Visit) -> None:
    page = visit("/trials?study=small&where=alpha%20%3D%2010")
    where = page.locator("#where-we-are")
    expect(where).to_have_text("page 1, 20 of 20 trials")
    page.get_by_text("Further studies").click()
    page.get_by_role("group", name="Further studies").get_by_label("half").check()
    expect(where).to_have_text("page 1, 30 of 30 trials")
    rows = page.locator("#table tbody tr")
    expect(rows.first.locator("th")).to_have_text("small")
    expect(rows.last.locator("th")).to_have_text("half")
    expect(page).to_have_url(re.compile(r"/trials\?study=small&study=half&where="))
    page.reload()
    expect(where).to_have_text("page 1, 30 of 30 trials")
    assert "study=half" in page.locator("#csv").get_attribute("href")
    expect(rows.last.get_by_role("link")).to_have_attribute("href", re.compile("^/studies/half.cell=avagrad"))


def test_trials_are_filtered_sorted_paged_and_downloaded(
    visit: Visit, client: TestClient, tmp_path: Path
) -> None:
    page = visit("/trials?study=small&limit=50")
    rows = page.locator("#table tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#where-we-are")).to_have_text("page 2, 50 of 100 trials")
    page.get_by_label("Only trials where").fill("alpha << 1")
    page.get_by_role("button", name="Show").click()
    told = client.get("/api/v1/studies/small/trials", params={"where": "alpha << 1"}).json()["detail"]
    expect(page.locator("#where-problem")).to_have_text(told)
    assert ["400" in error for error in visit.errors] == [True]
    visit.errors.clear()
    page.get_by_label("Only trials where").fill("alpha < 0.1 and seed = 0")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(20)
    expect(page.locator("#where-problem")).to_be_hidden()
    page.locator("#table").get_by_role("button", name="error").click()
    page.locator("#table").get_by_role("button", name="error ↑").click()
    expect(page.locator('th[aria-sort="descending"]')).to_contain_text("error")
    expect(rows.first).to_contain_text("0.001")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(encoding="utf-8") as file:
        found = [row["error"] for row in csv.DictReader(file)]
    assert len(found) == 20
    assert [float(error) for error in found] == sorted(map(float, found), reverse=True)
    page.reload()
    expect(rows).to_have_count(20)  # the address has it all


def test_matches_are_counted_and_columns_named(visit: Visit) -> None:
    page = visit("/trials?study=small")
    expect(page.locator("#where-we-are")).to_have_text("page 1, 100 of 100 trials")
    page.get_by_role("group", name="Columns to filter by").get_by_role("button", name="alpha").click()
    page.get_by_label("Only trials where").press_sequentially("= 0.1 and")
    page.get_by_role("group", name="Columns to filter by").get_by_role("button", name="seed").click()
    page.get_by_label("Only trials where").press_sequentially("= 0")
    expect(page.get_by_label("Only trials where")).to_have_value("alpha = 0.1 and seed = 0")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#where-we-are")).to_have_text("page 1, 10 of 10 trials")


def test_studies_are_compared(visit: Visit) -> None:
    page = visit("/compare?study=small/adam")
    landscapes(page)
    page.get_by_role("checkbox", name="half/adam").check()
    expect(page.locator(".landscape")).to_have_count(2)
    expect(page.locator("#verdicts tbody tr")).to_have_count(2)
    expect(page.locator("#verdicts tbody tr").first).to_contain_text("half/adamα, ε→ decoupledso far")
    summaries = page.locator(".panel p")
    expect(summaries.first).to_have_text(re.compile("; 2 seeds$"))
    expect(summaries.last).to_have_text(re.compile("; 2 seeds; tuning runs of 20 trials$"))
    expect(page.locator("#cost")).to_contain_text("half/adam: no tuning runs yet")
    expect(page.locator("#cost tbody tr")).to_have_count(1)


def test_a_comparison_has_the_tuned_studies_own_target_until_another_is_typed(
    visit: Visit, store_url: str, trials: MakeTrials
) -> None:
    with open_store(store_url, create=True) as store:
        space = store.space("small")
        store.declare("untuned", {"adam": {}}, space=space, metric="error", spec={"seeds": 2}, provenance={})
        for seed in range(2):
            store.append("untuned", "adam", trials(seed))
    visit("/")
    wait_until(lambda: "untuned" in visit.listed())
    page = visit("/compare")
    expect(page.get_by_label("Target")).to_have_value("0.005")
    page.get_by_role("checkbox", name="untuned/adam").check()
    expect(page.locator("#cost")).to_contain_text("untuned/adam: no tuning runs yet")
    expect(page.get_by_label("Target")).to_have_value("0.005")
    page.get_by_role("checkbox", name="small/adam").check()
    expect(page.get_by_label("Target")).to_have_value("0.01")
    expect(page.locator("#cost caption")).to_contain_text("within 0.01 of")
    page.get_by_label("Target").fill("0.02")
    expect(page.locator("#cost caption")).to_contain_text("within 0.02 of")
    page.get_by_role("checkbox", name="small/avagrad").check()
    expect(page.locator("#cost tbody tr")).to_have_count(2)
    expect(page.get_by_label("Target")).to_have_value("0.02")
    visit.delete(store_url, "untuned")


def test_the_address_of_a_comparison_holds_the_pinned_cells(visit: Visit) -> None:
    cell = "cell=small%2Fadam&at=alpha%3D0.01&at=eps%3D0.000001"
    compared = "study=half%2Fadam&study=small%2Fadam"
    page = visit(f"/compare?{compared}&{cell}")
    title = page.locator("#cell-title")
    expect(title).to_have_text("Cell: small/adam, α = 0.01, ε = 1e-6")
    expect(page).to_have_url(re.compile(rf"/compare\?{compared}&{cell}$"))
    landscapes(page).last.focus()
    page.keyboard.press("ArrowUp")
    expect(title).to_have_text("Cell: small/adam, α = 0.1, ε = 1e-6")
    expect(page).to_have_url(re.compile(r"at=alpha%3D0.1&at=eps%3D0.000001$"))
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(rf"/compare\?{compared}$"))


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[str]:
    """The address of a service whose database is not there yet."""
    with serving(f"sqlite:///{tmp_path}/tunability.db", tmp_path / "state") as address:
        yield address


def test_a_study_is_launched_stopped_resumed_and_deleted(browser: Any, launcher: str, tmp_path: Path) -> None:
    context = new_context(browser)
    visit = Visit(context, launcher)
    page = visit(f"/?token={TOKEN}")
    page.get_by_role("link", name="New study").first.click()
    page.get_by_label("own axes").check()
    row = page.get_by_role("group", name="Axis 1")
    row.get_by_label("How many").fill("none")
    page.get_by_label("Name", exact=True).fill("fresh")
    expect(page.locator("#problem-space")).to_contain_text("alpha")
    assert page.get_by_role("button", name="Launch").is_disabled()
    assert visit.errors.pop().startswith("Failed to load resource: the server responded with a status of 422")
    row.get_by_label("How many").fill("4")
    page.get_by_role("button", name="Add an axis").click()
    second = page.get_by_role("group", name="Axis 2")
    second.get_by_label("Axis", exact=True).fill("eps")
    second.get_by_label("or the values themselves").fill("1e-8 1e-4, 1")
    page.get_by_label("Seeds").fill("2")
    page.get_by_label("Steps of a training").fill("500")
    expect(page.locator("#plan")).to_contain_text("24")
    expect(page.get_by_label("Study file")).to_have_value(re.compile('name = "fresh"'))
    page.get_by_label("edit it here").check()
    page.get_by_label("Study file").press("Control+End")
    page.get_by_label("Study file").press_sequentially("lanes = 1\n")
    expect(page.locator("#plan")).to_contain_text("24, of up to 1 trials")
    visit.errors.clear()  # of the text when it was half typed
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url("**/studies/fresh")

    trials = page.locator('#progress [data-field="trials"]')
    expect(trials).not_to_have_text("0")
    expect(page.locator(".landscape .heatmaplayer image").last).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".state")).to_contain_text("stopped")
    stored = trials.inner_text()
    assert int(stored) < 24
    page.get_by_role("button", name="Resume").click()
    expect(trials).not_to_have_text(stored)
    page.get_by_text("The job's log").click()
    expect(page.locator("#log pre")).to_contain_text("of 24 trials stored")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".state")).to_contain_text(re.compile("stopped|done"))
    stored = trials.inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "fresh.csv")
    assert len((tmp_path / "fresh.csv").read_text(encoding="utf-8").splitlines()) == int(stored) + 1

    page.get_by_role("button", name="Delete").click()
    page.get_by_label("Name").fill("fresh")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("No study is stored yet")).to_be_visible()
    assert visit.errors == []
    context.close()


def test_a_running_study_is_not_deleted(visit: Visit, client: TestClient) -> None:
    document = client.get("/api/v1/studies").json()["studies"][-1] | {"state": "running"}
    page = visit.page
    event = f"event: study\ndata: {json.dumps(document)}\n\n"
    page.route("**/api/v1/events*", lambda route: route.fulfill(body=event, content_type="text/event-stream"))
    visit("/studies/small")
    expect(page.locator(".state")).to_contain_text("running")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#problem")).to_have_text("small is queued or running: stop it first, then delete it")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.fixture
def grows(store_url: str) -> str:
    """A study that is declared as real ones are, with trials that nobody trained: it can be priced and extended."""
    workload = {"name": "digits-mlp", "steps": 20, "hidden": 8, "schedule": "cosine", "weight_decay": 1e-4}
    given = {
        "name": "grows",
        "workload": workload,
        "optimizers": [{"name": "adam", "beta1": 0.8}, "avagrad"],
        "space": {"alpha": [1e-3, 1e-2, 0.1, 1], "eps": [1e-8, 1e-4, 1]},
        "seeds": 2,
        "tuning": {"tuners": ["random"], "trials": 6, "replicates": 4, "target": 0.02},
    }
    store_all(resolve(parse_spec(given)), store_url)
    return "grows"


def taken(page: Any, path: str) -> list[Any]:
    """What a page sends there, which is refused."""
    sent: list[Any] = []

    def take(route: Any) -> None:
        if route.request.method != "POST":
            route.fallback()
            return
        sent.append((route.request.url.partition("?")[2], route.request.post_data))
        route.fulfill(status=409, json={"status": 409, "detail": "not today"})

    page.route(re.compile(path), take)
    return sent


def test_more_of_a_study_is_priced_before_it_is_launched(visit: Visit, store_url: str, grows: str) -> None:
    page = visit.page
    price = {"own": 0, "spent": 4, "step": 24, "step_seconds": 62.0, "most_seconds": 130.0}

    def tell(route: Any) -> None:
        budget = int(route.request.url.rpartition("=")[2])
        route.fulfill(json=price | {"budget": budget, "most": budget - 4})

    page.route("**/decision?*", tell)
    visit(f"/studies/{grows}")
    decided, extended = taken(page, "/decide"), taken(page, "/api/v1/studies(\\?|$)")
    page.get_by_text("Decide these verdicts").click()
    expect(page.locator('[data-decide="separability"] [role=status]')).to_have_text(
        "Next 24 trials, about 1 min 2 s; at most 44 further trials, about 2 min 10 s in all on this machine. "
        "4 are stored already and count towards the budget."
    )
    page.get_by_label("Further trials, at most").first.fill("30")
    expect(page.locator('[data-decide="separability"] [role=status]')).to_contain_text("at most 26 further")
    page.get_by_role("button", name="Decide", exact=True).first.click()
    expect(page.locator('[data-decide="separability"] [role=alert]')).to_have_text("not today")
    assert [url for url, _ in decided] == ["of=separability&budget=30"]

    page.get_by_text("More seeds, optimizers").click()
    extend = page.locator("#extend")
    extend.get_by_label("Seeds").fill("1")
    expect(extend.locator("[role=status]")).to_have_text("A study only grows: give at least 2 seeds.")
    extend.get_by_label("Seeds").fill("3")
    extend.get_by_label("Further values of alpha").fill("1e-4, 0.1")
    extend.get_by_label("sgd").check()
    extend.get_by_label("sgd").uncheck()
    extend.get_by_label("amsgrad").check()
    expect(extend.locator("[role=status]")).to_contain_text("87 further trials, 135 in all; about")
    extend.get_by_role("button", name="Extend").click()
    expect(extend.locator("[role=alert]")).to_have_text("not today")
    ((_, body),) = extended
    spec = json.loads(body)
    assert [each["name"] if isinstance(each, dict) else each for each in spec["optimizers"]] == [
        "adam",
        "avagrad",
        "amsgrad",
    ]
    assert (spec["seeds"], spec["space"]["alpha"]) == (3, [0.001, 0.01, 0.1, 1, 0.0001])
    visit.errors.clear()  # of the refusals
    visit.delete(store_url, grows)


def test_a_new_study_from_another_one(visit: Visit, store_url: str, grows: str) -> None:
    page = visit(f"/studies/{grows}")
    page.get_by_role("link", name="A new study from this one").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("grows-2")
    expect(page.get_by_label("hidden")).to_have_value("8")
    expect(page.get_by_label("Schedule", exact=True)).to_have_value("cosine")
    page.get_by_label("Schedule", exact=True).select_option("1/sqrt(t)")
    page.get_by_label("Weight decay", exact=True).fill("0.001")
    expect(page.get_by_role("group", name="adam").get_by_label("beta1")).to_have_value("0.8")
    page.get_by_role("group", name="avagrad").get_by_label("beta2").fill("0.99")
    expect(page.get_by_label("Study file")).to_have_value(re.compile("beta2 = 0.99"))
    file = page.get_by_label("Study file").input_value()
    given = tomllib.loads(file)
    assert given["workload"] == {
        "name": "digits-mlp",
        "steps": 20,
        "hidden": 8,
        "schedule": {"name": "1/sqrt(t)"},
        "weight_decay": {"value": 0.001},
    }
    assert given["optimizers"] == [{"name": "adam", "beta1": 0.8}, {"name": "avagrad", "beta2": 0.99}]
    assert (given["space"]["eps"], given["seeds"]) == ([1e-8, 1e-4, 1], 2)
    assert given["tuning"] == {"tuners": ["random"], "trials": 6, "replicates": 4, "target": 0.02}
    expect(page.locator("#plan")).to_contain_text("its tuners' part")
    visit.delete(store_url, grows)


def test_an_edited_study_file_keeps_its_tuners(visit: Visit) -> None:
    page = visit("/new")
    launched: list[str] = []

    def refuse(route: Any) -> None:
        launched.append(route.request.url)
        route.fulfill(status=409, json={"status": 409, "detail": "not today"})

    page.route(re.compile("/api/v1/studies"), refuse)
    page.get_by_label("Name", exact=True).fill("edited")
    page.get_by_label("run tuners").check()
    expect(page.get_by_label("Study file")).to_have_value(re.compile("tuning = {}"))  # all by default
    page.get_by_label("edit it here").check()
    page.get_by_label("Study file").press("Control+End")
    page.get_by_label("Study file").press_sequentially("lanes = 1\n")
    expect(page.locator("#plan")).to_contain_text("of up to 1 trials")
    expect(page.locator("#plan")).to_contain_text("Its tuners are run afterwards")
    page.get_by_role("button", name="Launch").click()
    expect(page.locator("#problem")).to_have_text("not today")
    assert [url.partition("?")[2] for url in launched] == ["tune=true"]
    visit.errors.clear()  # of the text when it was half typed, and of the refusal


def test_what_is_wrong_in_the_form_is_said_by_the_fields_names(visit: Visit) -> None:
    page = visit("/new")
    page.get_by_label("Name", exact=True).fill("wrong")
    expect(page.locator("#plan dl")).to_be_visible()
    page.get_by_label("Seeds").fill("")
    expect(page.locator("#problem-seeds")).to_have_text("Seeds is not given: give a whole number")
    expect(page.locator("#plan dl")).to_have_count(0)
    expect(page.get_by_label("Study file")).to_have_value("")
    assert page.get_by_role("button", name="Launch").is_disabled()
    page.get_by_label("Seeds").fill("1")
    page.get_by_label("run tuners").check()
    page.get_by_label("Runs", exact=True).fill("0")
    expect(page.locator("#problem-tuning")).to_have_text("Runs = 0 is not allowed: give at least 1")
    expect(page.get_by_label("Runs", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Name", exact=True).fill("so so")
    expect(page.locator("#problem-name")).to_contain_text(
        "Name = 'so so' is not allowed: give letters, digits"
    )
    assert {error.partition(" /")[2] for error in visit.errors} == {"api/v1/plan"}  # what was refused
    visit.errors.clear()


def test_work_goes_on_after_an_exception(visit: Visit) -> None:
    page = visit("/new")
    address = page.locator('script[type="module"]').get_attribute("src").replace("new.js", "dom.js")
    script = """async (address) => {
        const { throttle } = await import(address);
        let count = 0;
        const run = throttle(async () => { count += 1; if (count === 1) throw new Error("once"); }, 0);
        await run();
        await run();
        return count;
    }"""
    assert page.evaluate(script, address) == 2
    assert ["once" in error for error in visit.errors] == [True]
    visit.errors.clear()


def test_optuna_dashboard_opens(visit: Visit) -> None:
    page = visit("/optuna/")
    expect(page.frame_locator("iframe").get_by_text("small/adam")).to_be_visible()
    expect(page.get_by_role("link", name="Studies")).to_be_visible()


def test_a_command_and_a_function_are_described_in_the_form(
    browser: Any, tmp_path: Path, visit: Visit
) -> None:
    closed = visit("/new")
    expect(closed.locator("#study")).to_contain_text("started with --allow-imports")
    expect(closed.get_by_role("radio", name="a command")).to_have_count(0)
    script = tmp_path / "train.py"
    script.write_text(
        "import json, sys\nlr, name, seed = float(sys.argv[1]), sys.argv[2], int(sys.argv[3])\n"
        "if lr == 1: sys.exit('to no avail')\n"
        "print(json.dumps({'accuracy': 1 - lr - seed / 100}))\n"
    )
    url = f"sqlite:///{tmp_path}/tunability.db"
    with serving(url, tmp_path / "state", "--allow-imports") as address:
        context = new_context(browser)
        visit = Visit(context, address)
        page = visit(f"/new?token={TOKEN}")
        page.get_by_label("Name", exact=True).fill("boxed")
        expect(page.get_by_label("Function", exact=True)).to_be_hidden()
        page.get_by_label("a function of yours").check()
        expect(page.get_by_label("own axes")).to_be_checked()
        expect(page.get_by_label("Steps of a training")).to_be_hidden()
        row = page.get_by_role("group", name="Axis 1")
        row.get_by_label("Axis", exact=True).fill("lr")
        row.get_by_label("or the values themselves").fill("0.1 0.5 1")
        page.get_by_label("Function", exact=True).fill("nobodys:train")
        page.get_by_label("Metric").fill("accuracy")
        expect(page.locator("#problem-workload")).to_contain_text("nobodys:train cannot be imported")
        expect(page.get_by_label("Function", exact=True)).to_have_attribute("aria-invalid", "true")
        assert page.get_by_role("button", name="Launch").is_disabled()
        page.get_by_label("a command").check()
        page.get_by_label("Command", exact=True).fill(
            f"{sys.executable} {script} {{lr}} {{optimiser}} {{seed}}"
        )
        expect(page.locator("#problem")).to_contain_text("the command has a placeholder {optimiser}")
        page.get_by_label("Command", exact=True).fill(
            f"{sys.executable} {script} {{lr}} {{optimizer}} {{seed}}"
        )
        page.get_by_label("Goal").select_option("maximize")
        page.locator("#labels").fill("one, two")
        page.get_by_label("Seeds").fill("1")
        expect(page.locator("#plan")).to_contain_text("not known yet")
        expect(page.locator("#problem-workload")).to_be_hidden()
        expect(page.get_by_label("Study file")).to_have_value(re.compile('goal = "maximize"'))
        visit.errors.clear()  # of what was refused
        page.get_by_role("button", name="Launch").click()
        page.wait_for_url("**/studies/boxed")
        page.get_by_text("2 trials failed").click()
        page.locator("#failures").get_by_text("one, lr = 1, seed 0: it ended with exit code 1").click()
        expect(page.locator("#failures pre").filter(visible=True)).to_have_text("to no avail")
        expect(page.locator(".state")).to_contain_text("failed")
        context.close()
        assert visit.errors == []
    with open_store(url, create=False) as store:
        table = store.trials("boxed")
    assert table["optimizer"].tolist() == ["one", "one", "two", "two"]
    assert table["negated_accuracy"].tolist() == [-0.9, -0.5] * 2
