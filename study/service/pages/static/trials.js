// The list of trials: filter, sort and page as the address says, so that it can be kept and sent.

import { query, readJson, studyUrl } from "./api.js";
import { byId, make, makeTable, showProblem } from "./dom.js";
import { count, metricOf, shortNumber, words } from "./format.js";

const form = byId("filter");
const study = byId("study");
const WHOLE = new Set(["number", "seed", "diverged_at"]);
let cursors = [""]; // of the pages from the first to the shown one
let abouts = new Map(); // study -> what is known of it
let round = 0; // a later question makes the answer of an earlier one void

function fillOptimizers() {
  const names = JSON.parse(study.selectedOptions[0]?.dataset.optimizers ?? "[]");
  const chosen = byId("optimizer").dataset.chosen;
  byId("optimizer").replaceChildren(make("option", { value: "" }, "all"),
    ...names.map((name) => make("option", { value: name, selected: name === chosen }, name)));
}

const chosen = () => [...new Set([study.value, ...[...document.querySelectorAll("#further input:checked")].map((each) => each.value)])];
const areSeveral = () => chosen().length > 1;

// What is asked for but the studies, as pairs.
const filters = () => ["where", "sort", "order", ...(areSeveral() ? [] : ["optimizer"])].map((name) => [name, byId(name).value]);

function trialsUrl(more) {
  const several = areSeveral();
  const pairs = [...(several ? chosen().map((name) => ["study", name]) : []), ...filters(), ...more];
  return `${several ? "/api/v1/trials" : studyUrl(study.value, "/trials")}?${query(pairs)}`;
}

async function readFound(page) {
  if (page.found !== undefined) return page.found;
  return (await readJson(`${studyUrl(study.value, "/count")}?${query(filters().filter(([name]) => ["optimizer", "where"].includes(name)))}`)).trials;
}

async function show() {
  if (!study.value) return;
  const mine = ++round;
  byId("first").disabled = byId("previous").disabled = byId("next").disabled = true; // until the page is there
  byId("optimizer").disabled = areSeveral();
  const names = chosen();
  const pairs = [...names.map((name) => ["study", name]), ...filters(), ["limit", byId("limit").value]];
  window.history.replaceState(null, "", `/trials?${query(pairs)}`);
  try {
    const known = new Map(await Promise.all(names.map(async (name) => [name, await readJson(studyUrl(name))])));
    const page = await readJson(trialsUrl([["limit", byId("limit").value], ["cursor", cursors.at(-1)]]));
    if (mine === round) abouts = known;
    if (mine !== round) return;
    showProblem(byId("where-problem"), null);
    byId("where").removeAttribute("aria-invalid");
    showPage(page);
    const found = await readFound(page);
    if (mine === round) byId("where-we-are").textContent = `page ${cursors.length}, ${page.trials.length} of ${count(found)} trials`;
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
    byId(format).href = trialsUrl([["format", format]]);
  }
  if (!rows.length) {
    byId("table").replaceChildren(make("p", { class: "hint" }, "No trial is like that."));
    return;
  }
  const names = Object.keys(rows[0]);
  offerNames(names.filter((name) => name !== "study"));
  const table = makeTable(`Trials of ${chosen().join(", ")}`, names.map(header), rows.map((row) => names.map((name) => (name === "number" ? cellLink(row) : text(name, row)))));
  names.forEach((name, place) => {
    const kind = name !== byId("sort").value ? "none" : byId("order").value === "asc" ? "ascending" : "descending";
    table.querySelectorAll("thead th")[place].setAttribute("aria-sort", kind);
  });
  byId("table").replaceChildren(table);
}

// A trial's number leads to its cell on the study's page.
function cellLink(row) {
  const of = row.study ?? study.value;
  const { axes } = abouts.get(of);
  const value = (axis) => (axis.words.length ? axis.words.indexOf(row[axis.name]) : row[axis.name]);
  const at = axes.map((axis) => ["at", `${axis.name}=${value(axis)}`]);
  return make("a", { href: `/studies/${encodeURIComponent(of)}?${query([["cell", row.optimizer], ...at])}`, title: "Show its cell" }, String(row.number));
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

function text(name, row) {
  const value = row[name];
  if (value === null) return "–";
  const { metric } = abouts.get(row.study ?? study.value);
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
byId("further").addEventListener("change", restart);
byId("limit").addEventListener("change", restart);
form.addEventListener("submit", (event) => { event.preventDefault(); restart(); });
byId("first").addEventListener("click", restart);
byId("previous").addEventListener("click", () => { cursors.pop(); show(); });
byId("next").addEventListener("click", () => { cursors.push(byId("next").dataset.cursor); show(); });
fillOptimizers();
show();
