// Landscapes of several studies on one scale, their verdicts and costs side by side.

import { query } from "./api.js";
import { cellPairs, cellsOf, isAdding, onCellClosed, openCells } from "./cell.js";
import { drawCost, readCost } from "./cost.js";
import { byId, debounce, make, makeTable, showProblem } from "./dom.js";
import { interval, metricText, words } from "./format.js";
import { isPartialPanel } from "./heatmap.js";
import { Panels, coordinatesOf, readPanels } from "./panels.js";
import { readVerdicts } from "./separability.js";
import { inSymbols } from "./symbols.js";
import { plainSentence, regimeBadges, slopes, symbolsOf } from "./verdicts.js";

const panels = new Panels({
  container: byId("panels"), legend: byId("legend"), tables: byId("landscape-tables"), announcer: byId("announcer"),
  title: (panel) => `${panel.study}/${panel.optimizer}`, tell: about,
  choose: (panel, place, more) => pin(panel, coordinatesOf(panel, place), isAdding(more) ? "add" : "only"),
  move: (panel, place) => { if (!byId("cell").hidden) pin(panel, coordinatesOf(panel, place), "move", false); },
});
function pin(panel, at, how, focus = true) {
  askedCells = null;
  panels.pin(panel, at, how);
  remember();
  if (panels.pins.length) openCells(panels.pins, panels.document.metric, { title: panels.title, remove: (each) => pin(each.panel, each.coordinates, "add"), focus });
  else byId("cell-close").click();
}

onCellClosed(() => { panels.unpin(); remember(); });
let askedCells = cellsOf(new URLSearchParams(window.location.search)); // until their panels are there
const budgets = new Map(); // landscape -> trials of its tuning runs
let ownTarget = false; // whether somebody has typed one
let round = 0; // a later choice makes the answers of an earlier one void

function about(panel) {
  const budget = budgets.get(`${panel.study}/${panel.optimizer}`);
  const seeds = panel.surrogate ? [] : [`${panel.expected_seeds} ${panel.expected_seeds === 1 ? "seed" : "seeds"}`];
  return [...seeds, ...(budget ? [`tuning runs of ${budget} trials`] : [])];
}

const chosen = () => [...document.querySelectorAll('#choice input[name="study"]:checked')].map((each) => each.value);
const boxOf = (name) => document.querySelector(`#choice input[value="${CSS.escape(name)}"]`);
const isTuned = (name) => boxOf(name).dataset.runs !== "0";
const commonTarget = (names) => { const all = new Set(names.map((name) => boxOf(name).dataset.target)); return all.size === 1 ? [...all][0] : null; };
const split = (name) => [name.slice(0, name.indexOf("/")), name.slice(name.indexOf("/") + 1)];

// The address holds what is compared and the pinned cells, and can be sent.
function remember() {
  const cells = askedCells ?? panels.pins.map(({ panel, coordinates }) => ({ name: panels.title(panel), at: coordinates }));
  window.history.replaceState(null, "", `/compare?${query([...chosen().map((name) => ["study", name]), ...cellPairs(cells)])}`);
}

function openAskedCells() {
  const panelOf = ({ name }) => panels.document.panels.find((panel) => panels.title(panel) === name);
  const found = (askedCells ?? []).filter(panelOf);
  for (const cell of found) pin(panelOf(cell), cell.at, "add");
  askedCells = null;
  remember();
}

async function show() {
  const names = chosen();
  const mine = ++round;
  remember();
  showProblem(byId("problem"), null);
  byId("downloads").hidden = !names.length;
  if (!names.length) {
    panels.clear();
    byId("panels").replaceChildren(make("p", { class: "hint" }, "Choose two or more above."));
    byId("verdicts").replaceChildren();
    byId("cost").replaceChildren();
    byId("cell").hidden = true;
    return;
  }
  try {
    const document = await readPanels(names);
    if (mine !== round) return;
    panels.show(document);
    openAskedCells();
  } catch (error) {
    if (mine === round) showProblem(byId("problem"), error);
    return;
  }
  await Promise.all([showVerdicts(names, mine), showCosts(names, mine)]);
}

// One answer a landscape; a refusal takes the place of its rows.
const each = (names, read) => Promise.all(names.map((name) => read(...split(name)).then((found) => ({ name, found }), (error) => ({ name, error }))));

async function showVerdicts(names, mine) {
  const answers = await each(names, readVerdicts);
  if (mine !== round) return;
  panels.setRidges(new Map(answers.map(({ name, found }) => [name, found?.verdicts ?? []])));
  const partial = new Set(panels.document.panels.filter(isPartialPanel).map((panel) => `${panel.study}/${panel.optimizer}`));
  const rows = answers.flatMap(({ name, found, error }) => {
    if (error) return [[name, "–", "–", error.message, "–", "–"]];
    const problems = found.problems.map((problem) => [name, "–", "–", inSymbols(problem.detail), "–", "–"]);
    const show = (value) => metricText(value, found.metric.endsWith("error"));
    const row = (verdict) => [name, symbolsOf(verdict).join(", "), make("span", {}, ...regimeBadges(verdict, partial.has(name))), plainSentence(verdict, partial.has(name)), slopes(verdict) || "–", interval(verdict.penalty, show)];
    return [...found.verdicts.map(row), ...problems];
  });
  const head = ["landscape", "axes", "verdict", "in words", "slope", "penalty"];
  byId("verdicts").replaceChildren(makeTable("Can they be tuned one at a time? Slopes of the ridge, and what tuning one after the other loses, with 95% intervals", head, rows, [1, 2, 3]));
}

async function showCosts(names, mine) {
  const tuned = names.filter(isTuned); // of others the API would refuse to tell
  if (!ownTarget) byId("target").value = commonTarget(tuned) ?? byId("target").defaultValue;
  const target = byId("target").value;
  showDownloads(names);
  if (tuned.length) byId("cost").replaceChildren(make("p", { class: "waiting" }, "Making the costs …"));
  const answers = await each(tuned, (study, optimizer) => readCost(study, target, { optimizer }));
  if (mine !== round) return;
  for (const { name, found } of answers) budgets.set(name, found?.budget);
  panels.renewSummaries();
  const notes = answers.filter(({ error }) => error).map(({ name, error }) => make("p", { class: "hint" }, `${name}: ${error.message}`));
  notes.push(...names.filter((name) => !tuned.includes(name)).map((name) => make("p", { class: "hint" }, `${name}: no tuning runs yet`)));
  notes.push(...answers.flatMap(({ name, found }) => found?.problems.map((each) => make("p", { class: "hint" }, `${name}: ${each.detail}`)) ?? []));
  notes.push(...answers.flatMap(({ name, found }) => found?.notes.map((each) => make("p", { class: "hint" }, `${name}: ${each}`)) ?? []));
  const rows = answers.flatMap(({ name, found }) => (found ? found.rows.map((row) => ({ ...row, optimizer: name, budget: found.budget })) : []));
  const place = make("div");
  byId("cost").replaceChildren(...notes, place);
  if (rows.length) await drawCost(place, rows, target, words(panels.document.metric), null);
}

function showDownloads(names) {
  const pairs = [...names.map((name) => ["study", name]), ["target", byId("target").value]];
  const links = (kind) => ["png", "svg", "pdf"].map((format) => make("a", { href: `/api/v1/figures/${kind}.${format}?${query(pairs)}`, download: `compare-${kind}.${format}` }, format.toUpperCase()));
  byId("figures").replaceChildren(make("li", {}, "Landscapes: ", ...links("landscape")),
    names.every(isTuned) ? make("li", {}, "Performance profile: ", ...links("profile")) : "");
}

byId("choice").addEventListener("change", debounce(show, 150));
byId("target").addEventListener("input", () => { ownTarget = byId("target").value !== ""; });
byId("target").addEventListener("input", debounce(() => { if (byId("target").checkValidity()) showCosts(chosen(), round); }, 300));
byId("cost-form").addEventListener("submit", (event) => event.preventDefault());
if (chosen().length) show();
