// The list of trials: filter, sort and page as the address says, so that it can be kept and sent.

import { query, readJson, studyUrl } from "./api.js";
import { byId, make, makeTable, showProblem } from "./dom.js";
import { count, metricOf, shortNumber, words } from "./format.js";

const form = byId("filter");
const study = byId("study");
const WHOLE = new Set(["number", "seed", "diverged_at"]);
let cursors = [""]; // of the pages from the first to the shown one
let metric = "";
let axes = [];
let round = 0; // a later question makes the answer of an earlier one void

function fillOptimizers() {
  const names = JSON.parse(study.selectedOptions[0]?.dataset.optimizers ?? "[]");
  const chosen = byId("optimizer").dataset.chosen;
  byId("optimizer").replaceChildren(make("option", { value: "" }, "all"),
    ...names.map((name) => make("option", { value: name, selected: name === chosen }, name)));
}

// What is asked for but the study, as pairs.
const filters = () => ["optimizer", "where", "sort", "order"].map((name) => [name, byId(name).value]);

async function show() {
  if (!study.value) return;
  const mine = ++round;
  byId("first").disabled = byId("previous").disabled = byId("next").disabled = true; // until the page is there
  const pairs = [["study", study.value], ...filters(), ["limit", byId("limit").value]];
  window.history.replaceState(null, "", `/trials?${query(pairs)}`);
  try {
    ({ metric, axes } = await readJson(studyUrl(study.value)));
    const page = await readJson(`${studyUrl(study.value, "/trials")}?${query([...filters(), ["limit", byId("limit").value], ["cursor", cursors.at(-1)]])}`);
    if (mine !== round) return;
    showProblem(byId("where-problem"), null);
    byId("where").removeAttribute("aria-invalid");
    showPage(page);
    const found = await readJson(`${studyUrl(study.value, "/count")}?${query(filters().slice(0, 2))}`);
    if (mine === round) byId("where-we-are").textContent = `page ${cursors.length}, ${page.trials.length} of ${count(found.trials)} trials`;
  } catch (error) {
    if (mine !== round) return;
    showProblem(byId("where-problem"), error);
    byId("where").setAttribute("aria-invalid", "true");
  } finally {
    if (mine === round) byId("first").disabled = byId("previous").disabled = cursors.length === 1;
  }
}

function showPage(page) {
  const rows = page.trials;
  byId("pages").hidden = false;
  byId("next").disabled = !page.next;
  byId("next").dataset.cursor = page.next ?? "";
  byId("where-we-are").textContent = `page ${cursors.length}, ${rows.length} trials`;
  for (const format of ["csv", "parquet"]) {
    byId(format).href = `${studyUrl(study.value, "/trials")}?${query([...filters(), ["format", format]])}`;
  }
  if (!rows.length) {
    byId("table").replaceChildren(make("p", { class: "hint" }, "No trial is like that."));
    return;
  }
  const names = Object.keys(rows[0]).filter((name) => name !== "study");
  offerNames(names);
  const table = makeTable(`Trials of ${study.value}`, names.map(header), rows.map((row) => names.map((name) => (name === "number" ? cellLink(row) : text(name, row[name])))));
  names.forEach((name, place) => {
    const kind = name !== byId("sort").value ? "none" : byId("order").value === "asc" ? "ascending" : "descending";
    table.querySelectorAll("thead th")[place].setAttribute("aria-sort", kind);
  });
  byId("table").replaceChildren(table);
}

// A trial's number leads to its cell on the study's page.
function cellLink(row) {
  const value = (axis) => (axis.words.length ? axis.words.indexOf(row[axis.name]) : row[axis.name]);
  const at = axes.map((axis) => ["at", `${axis.name}=${value(axis)}`]);
  return make("a", { href: `/studies/${encodeURIComponent(study.value)}?${query([["cell", row.optimizer], ...at])}`, title: "Show its cell" }, String(row.number));
}

function header(name) {
  const sorted = name === byId("sort").value;
  const sign = sorted ? (byId("order").value === "asc" ? " ↑" : " ↓") : "";
  const button = make("button", { type: "button" }, `${words(name)}${sign}`);
  button.addEventListener("click", () => {
    byId("order").value = sorted && byId("order").value === "asc" ? "desc" : "asc";
    byId("sort").value = name;
    restart();
  });
  return button;
}

function text(name, value) {
  if (value === null) return "–";
  if (name === metric) return metricOf(metric, value);
  return typeof value === "string" || WHOLE.has(name) ? String(value) : shortNumber(value);
}

// Names that a filter takes, to click: each goes where the cursor is.
function offerNames(names) {
  const nodes = names.map((name) => {
    const button = make("button", { type: "button" }, name);
    button.addEventListener("click", () => insert(/^[A-Za-z_]\w*$/.test(name) ? name : `"${name}"`));
    return button;
  });
  byId("names").replaceChildren(...nodes);
}

function insert(name) {
  const field = byId("where");
  const [start, end] = [field.selectionStart, field.selectionEnd];
  const before = field.value.slice(0, start);
  const text = `${before && !/[\s(]$/.test(before) ? " " : ""}${name} `;
  field.setRangeText(text, start, end, "end");
  field.focus();
}

function restart() {
  cursors = [""];
  show();
}

study.addEventListener("change", () => {
  byId("optimizer").dataset.chosen = "";
  byId("sort").value = "";
  fillOptimizers();
  restart();
});
byId("optimizer").addEventListener("change", restart);
byId("limit").addEventListener("change", restart);
form.addEventListener("submit", (event) => { event.preventDefault(); restart(); });
byId("first").addEventListener("click", restart);
byId("previous").addEventListener("click", () => { cursors.pop(); show(); });
byId("next").addEventListener("click", () => { cursors.push(byId("next").dataset.cursor); show(); });
fillOptimizers();
show();
