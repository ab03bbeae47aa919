// The page of one study: everything is asked for once, then again when an event says that trials landed.

import { act, showActions } from "./actions.js";
import { query, readJson, sendJson, studyUrl } from "./api.js";
import { cellPairs, cellTitle, cellsOf, drawCurves, hasCurves, onCellClosed, isAdding, openCells, readCell } from "./cell.js";
import { showCost } from "./cost.js";
import { Decision } from "./decide.js";
import { byId, debounce, make, showProblem, throttle } from "./dom.js";
import { Extension } from "./extend.js";
import { Failures } from "./failures.js";
import { listen } from "./live.js";
import { Panels, coordinatesOf, readPanels } from "./panels.js";
import { showParallel } from "./parallel.js";
import { showProgress } from "./progress.js";
import { showSensitivity } from "./sensitivity.js";
import { showSeparability } from "./separability.js";
import { showComparisons, showCurves } from "./tuners.js";
import { View } from "./view.js";

const study = byId("content").dataset.study;
const LANDSCAPE_REST = 1_000;
const ANALYSIS_REST = 4_000;
const HOVER_REST = 200;
const asked = new URLSearchParams(window.location.search); // the address holds the view, and can be sent
const view = new View(byId("view"), asked, () => { remember(); showLandscapes(); renewVerdicts(); });
let askedCells = cellsOf(asked); // until their panels are there
let last = null;
let verdicts = new Map();

function remember() {
  const target = byId("target");
  const pairs = [...view.pairs(), ["target", target.value === target.defaultValue ? "" : target.value]];
  const cells = askedCells ?? panels.pins.map(({ panel, coordinates }) => ({ name: panel.optimizer, at: coordinates }));
  const text = query([...pairs, ...cellPairs(cells)]);
  window.history.replaceState(null, "", `${window.location.pathname}${text ? `?${text}` : ""}`);
  for (const link of document.querySelectorAll('a[href*="/figures/landscape."]')) link.href = `${link.pathname}?${query([["study", study], ...view.figurePairs()])}`;
}

function choose(panel, at, how = "only", focus = true) {
  askedCells = null;
  panels.pin(panel, at, how);
  showPins(focus);
}

function showPins(focus) {
  remember();
  if (panels.pins.length) openCells(panels.pins, panels.document.metric, { title: panels.title, remove: ({ panel, coordinates }) => choose(panel, coordinates, "add"), focus });
  else byId("cell-close").click();
}

const showRidges = () => panels.setRidges(view.isOfMeans ? verdicts : new Map());

const chooseSoon = debounce((panel, at) => choose(panel, at, "move", false), 120);

// The cells that the address has, once their panels are there.
function openAskedCells() {
  if (!askedCells?.length) return;
  const panelOf = ({ name }) => panels.document.panels.find((each) => each.optimizer === name);
  const found = askedCells.filter(panelOf);
  if (!found.length) return;
  askedCells = null;
  for (const cell of found) panels.pin(panelOf(cell), cell.at, "add");
  showPins(true);
}

const preview = makePreview();
byId("beside").prepend(preview.node);
const decisions = Object.fromEntries([...document.querySelectorAll("[data-decide]")].map((each) => [each.dataset.decide, new Decision(each, study)]));
new Extension(byId("extend"), study);
const failures = new Failures(byId("failures"), study);
const panels = new Panels({
  container: byId("panels"), legend: byId("legend"), tables: byId("landscape-tables"), announcer: byId("announcer"),
  title: (panel) => panel.optimizer, choose: (panel, place, more) => choose(panel, coordinatesOf(panel, place), isAdding(more) ? "add" : "only"),
  move: (panel, place) => { if (!byId("cell").hidden) chooseSoon(panel, coordinatesOf(panel, place)); }, point: debounce(previewCell, HOVER_REST),
});

const showLandscapes = throttle(async () => {
  try {
    const document = await readPanels([study], view.pairs("at"));
    panels.show(document);
    view.offer(document);
    byId("parallel").hidden = document.axes.length < 3 || document.panels.some((panel) => panel.surrogate);
    if (byId("parallel-cells").open) drawParallel();
    openAskedCells();
    showProblem(byId("view-problem"), null);
  } catch (error) {
    showProblem(byId("view-problem"), error);
  }
}, LANDSCAPE_REST);

const isDecidable = () => !["queued", "running"].includes(last.state) && last.cells !== null;

// Of what the view shows; the ridges of another one do not stay on the maps.
const showVerdicts = throttle(async () => {
  const asked = judged;
  const found = await showSeparability(byId("separability"), study, last.optimizers, view);
  verdicts = found ?? new Map();
  if (asked === judged) showRidges();
  const all = [...verdicts.values()].flat(), whole = !view.verdictText();
  if (found && whole) document.querySelector('[data-kind="separability"]').hidden = !all.length; // as of one axis
  decisions.separability.offer(isDecidable() && whole && all.some((each) => each.verdict === "undecided"));
}, LANDSCAPE_REST);

let judged = view.verdictPairs().join();

function renewVerdicts() {
  const before = judged;
  judged = view.verdictPairs().join();
  if (judged === before) showRidges();
  else if (last?.trials) {
    panels.setRidges(new Map());
    showVerdicts();
  }
}

const showAnalyses = throttle(async () => {
  decisions.cost.offer(isDecidable() && last.optimizers.length > 1 && last.trials > 0);
  if (last.trials) await showVerdicts();
  else byId("separability").replaceChildren(make("p", { class: "hint" }, "No trials yet."));
  await showCosts();
  if (seen) await showSensitivities();
}, ANALYSIS_REST);

const drawParallel = throttle(() => showParallel(byId("parallel-cells").querySelector("div"), study, panels.document.colours), ANALYSIS_REST);
byId("parallel-cells").addEventListener("toggle", () => { if (byId("parallel-cells").open) drawParallel(); });

// Figures of tuning: to the target that is shown, when there is something to draw.
function offerFigures() {
  for (const item of document.querySelectorAll("[data-tuned]")) {
    item.hidden = !last?.tuning_runs;
    for (const link of item.querySelectorAll("a")) {
      const url = new URL(link.href);
      url.searchParams.set("target", byId("target").value);
      link.href = url;
    }
  }
}

const hint = (text) => make("p", { class: "hint" }, text);

async function showCosts() {
  offerFigures();
  if (last?.state === "running") byId("cost").replaceChildren(hint(`${last.tuning_runs} tuning runs so far; their cost is shown when all are made.`));
  else if (last?.cells === null) offerReplays();
  else if (last?.tuning_runs) {
    const target = byId("target").value;
    const known = await showCost(byId("cost"), study, target);
    if (known < 2) byId("comparisons").replaceChildren();
    await Promise.all([known < 2 || showComparisons(byId("comparisons"), study, target, last.optimizers.map((each) => each.name)), showCurves(byId("curves"), study, target)]);
  }
  else byId("cost").replaceChildren(hint(`No tuning runs yet: run tunability tune ${study}, or have it done here.`), tuneButton());
}

// Sensitivity is asked for when its part of the page comes into view.
let seen = false;

async function showSensitivities() {
  const place = byId("sensitivity");
  if (!last?.trials || last.state === "running") return;
  if (place.dataset.of === String(last.trials)) return;
  place.dataset.of = last.trials;
  if (last.cells === null) {
    place.replaceChildren(hint("Sensitivity is told of grids alone, and these trials are scattered."));
    return;
  }
  if (!place.querySelector(".card")) place.replaceChildren(make("p", { class: "waiting" }, "Computing, maybe for a minute …"));
  await showSensitivity(place, study);
}

new IntersectionObserver((entries) => {
  if (!entries.some((each) => each.isIntersecting)) return;
  seen = true;
  showSensitivities();
}, { rootMargin: "100px" }).observe(byId("sensitivity"));

// Tuners are replayed on draws of a surrogate when they are asked for: it takes some seconds, and is kept.
let replayed = null; // trials of a run

function offerReplays() {
  const place = byId("cost");
  const target = () => byId("target").value;
  if (replayed) {
    showCost(place, study, target(), replayed);
    return;
  }
  const budget = make("input", { id: "budget", type: "number", min: 1, max: 1000, value: 100, required: true });
  const button = make("button", {}, "Replay the tuners");
  const form = make("form", { class: "inline" }, make("label", { for: "budget" }, "Trials a run"), budget, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    replayed = budget.value;
    button.disabled = true;
    showCost(place, study, target(), replayed);
  });
  place.replaceChildren(make("p", { class: "hint" }, "Scattered trials have no tuning runs: tuners can be replayed on draws of the surrogate."), form);
}

function tuneButton() {
  const button = make("button", { type: "button" }, "Run the tuners");
  const refusal = make("p", { class: "problem", role: "alert", hidden: true });
  button.addEventListener("click", () => act(button, () => sendJson("POST", studyUrl(study, "/resume?tune=true")), refusal));
  return make("div", {}, button, refusal);
}

function makePreview() {
  const chart = make("div", { class: "chart curves", "aria-hidden": "true" });
  const title = make("p", {}, "Point at a cell to see its learning curves here.");
  return { node: make("div", { class: "preview" }, title, chart), title, chart, asked: null };
}

async function previewCell(panel, place) {
  if (!preview.node.offsetParent) return; // hidden: on a phone, or by a pinned cell
  const at = coordinatesOf(panel, place);
  const asked = cellTitle(panel, at);
  preview.asked = asked;
  try {
    const cell = await readCell(panel, at);
    if (preview.asked !== asked) return;
    const nearest = hasCurves(cell) ? `the ${cell.trials.length} trials nearest to ${asked}` : `${asked}: no learning curves of the trials nearby`;
    preview.title.textContent = cell.nearest ? nearest : cell.trials.length ? asked : `${asked}: no trial yet`;
    await drawCurves(preview.chart, cell, panels.document.metric, true);
  } catch (error) {
    preview.title.textContent = error.message;
  }
}

async function showDetails() {
  const details = await readJson(studyUrl(study)).catch(() => null);
  if (!details) return;
  byId("toml").textContent = details.toml;
  byId("provenance").querySelector("pre").textContent = JSON.stringify(details.provenance, null, 2);
}

listen(study, {
  study: (document) => {
    showProgress(byId("content"), document);
    showActions(document);
    failures.show(document);
    const before = last;
    last = document;
    if (before?.trials !== document.trials) showLandscapes();
    if (before?.trials !== document.trials || before.tuning_runs !== document.tuning_runs || before.state !== document.state) showAnalyses();
  },
  deleted: () => { window.location.assign("/"); },
});
byId("target").addEventListener("input", debounce(() => {
  if (!byId("target").checkValidity()) return;
  remember();
  showCosts();
}, 300));
byId("cost-form").addEventListener("submit", (event) => event.preventDefault());
onCellClosed(() => {
  askedCells = null;
  panels.unpin();
  remember();
});
if (asked.has("target")) byId("target").value = asked.get("target");
showDetails();
