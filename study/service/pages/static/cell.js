// A cell's trials and learning curves: in full when it is chosen, small when the pointer rests on it. A cell is an
// optimizer's panel and the coordinates of all axes.

import { query, readJson, studyUrl } from "./api.js";
import { axis, draw, metricAxis, plain, style } from "./chart.js";
import { byId, lazyDetails, make, makeTable, readInto } from "./dom.js";
import { axisText, metricOf, shortNumber, words } from "./format.js";
import { symbolOf } from "./symbols.js";

export function readCell(panel, coordinates) {
  const at = Object.entries(coordinates).map(([name, value]) => ["at", `${name}=${value}`]);
  return readJson(`${studyUrl(panel.study, `/optimizers/${encodeURIComponent(panel.optimizer)}/cell`)}?${query(at)}`);
}

export const cellTitle = (panel, coordinates, title = ({ optimizer }) => optimizer) =>
  `${title(panel)}, ${Object.entries(coordinates).map(([name, value]) => `${symbolOf(name)} = ${axisText(panel, name, value)}`).join(", ")}`;

const curveName = (cell, place) => (cell.nearest ? `trial ${cell.trials[place].number}` : `seed ${cell.trials[place].seed}`);

export const hasCurves = (cell) => cell.curves.some((curve) => curve.length);

export function drawCurves(chart, cell, metric, small = false) {
  const lines = cell.curves.map((curve, place) => ({ curve, name: curveName(cell, place), of: place, first: true }));
  return drawLines(chart, lines, metric, { legend: lines.length > 1, small });
}

// Lines of one look where `of` is the same; the `first` of them is in the legend.
function drawLines(chart, lines, metric, { legend, small = false }) {
  const values = lines.flatMap(({ curve }) => curve.map(([, value]) => value)).filter((value) => value !== null);
  const least = Math.min(...values);
  const log = values.length > 0 && least > 0 && Math.max(...values) >= 10 * least;
  const percent = metric.endsWith("error") && least >= 0 && Math.max(...values) <= 1;
  return draw(chart, () => ({
    traces: lines.map(({ curve, name, about = name, of, first }) => {
      const { colour, dash } = style(of);
      return {
        type: "scatter", mode: "lines", name: plain(name), line: { color: colour, dash, width: 1.8 }, legendgroup: String(of), showlegend: first,
        x: curve.map(([step]) => step), y: curve.map(([, value]) => value), hovertemplate: `step %{x}: %{y}<extra>${plain(about)}</extra>`,
      };
    }),
    layout: {
      xaxis: axis("step", "linear"),
      yaxis: metricAxis(words(metric), least, Math.max(...values), log, percent),
      showlegend: legend, margin: { l: 52, r: 8, t: 8, b: 36 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, hovermode: small ? false : "closest",
    },
  }));
}

// Opens a page's part for the pinned cells; `metric` is the study's, `title` names a panel, `remove` unpins one. Without
// `focus` whoever moves over the map goes on.
export async function openCells(pins, metric, { title, remove, focus = true }) {
  const part = byId("cell");
  const name = ({ panel, coordinates }) => cellTitle(panel, coordinates, title);
  const [first] = pins;
  byId("cell-title").textContent = pins.length > 1 ? `${pins.length} cells` : `${first.panel.surrogate ? "Place" : "Cell"}: ${name(first)}`;
  part.hidden = false;
  if (focus) part.focus({ preventScroll: true }); // at once: whoever waits may go elsewhere meanwhile
  if (pins.length === 1) await showCell(byId("cell-content"), first.panel, first.coordinates, metric);
  else await showCells(byId("cell-content"), pins, metric, name, remove);
}

// Whether further cells are to be added to what is pinned: by Shift, or the button, for fingers.
export const isAdding = (shift) => shift || byId("cell-add").getAttribute("aria-pressed") === "true";

// `closed` is called when the part is closed, by its button or Escape.
export function onCellClosed(closed) {
  const add = byId("cell-add");
  const press = (pressed) => add.setAttribute("aria-pressed", String(pressed));
  const close = () => { byId("cell").hidden = true; press(false); closed(); };
  add.addEventListener("click", () => press(add.getAttribute("aria-pressed") !== "true"));
  byId("cell-close").addEventListener("click", close);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("cell").hidden && !document.querySelector("dialog[open]")) close();
  });
}

let round = 0; // a later cell makes the answer of an earlier one void

async function showCell(place, panel, at, metric) {
  const mine = ++round;
  const cell = await readInto(place, readCell(panel, at));
  if (!cell || mine !== round) return;
  if (!cell.trials.length) {
    place.replaceChildren(make("p", { class: "hint" }, "This cell has no trial yet."));
    return;
  }
  const chart = make("div", { class: "chart curves", role: "img", "aria-label": `Learning curves of ${cellTitle(panel, at)}; the table below has the numbers` });
  const where = cell.nearest ? `number in (${cell.trials.map((trial) => trial.number).join(", ")})` : Object.entries(at).map(([name, value]) => `"${name}" = ${value}`).join(" and ");
  const all = `/trials?${query([["study", panel.study], ["optimizer", panel.optimizer], ["where", where]])}`;
  const curves = hasCurves(cell)
    ? [make("h3", {}, "Learning curves"), chart, curveDetails(cell, metric).element]
    : [make("p", { class: "hint" }, "No learning curves are stored of these trials.")];
  place.replaceChildren(...(cell.nearest ? [make("p", { class: "hint" }, "A surrogate has no trials of its own: these are the nearest ones.")] : []),
    make("div", { class: "cell-parts" }, make("div", {}, trialTable(cell, at, metric)), make("div", {}, ...curves)), make("p", {}, make("a", { href: all }, "These trials in the list of all")));
  if (hasCurves(cell)) await drawCurves(chart, cell, metric);
}

// Learning curves of several cells over each other, a colour and dash for each, and what they are in a table.
async function showCells(place, pins, metric, name, remove) {
  const mine = ++round;
  const cells = await readInto(place, Promise.all(pins.map(({ panel, coordinates }) => readCell(panel, coordinates))));
  if (!cells || mine !== round) return;
  const chart = make("div", { class: "chart curves", role: "img", "aria-label": `Learning curves of ${pins.length} cells; the table has their last values` });
  const rows = pins.map((pin, k) => {
    const values = cells[k].trials.map((trial) => trial[metric]);
    const button = make("button", { type: "button", "aria-label": `Remove ${name(pin)}` }, "Remove");
    button.addEventListener("click", () => remove(pin));
    const mean = values.length ? values.reduce((sum, each) => sum + each, 0) / values.length : null;
    return [`${k + 1}: ${name(pin)}`, metricOf(metric, mean), String(values.length), button];
  });
  place.replaceChildren(make("div", { class: "cell-parts" }, makeTable(`Mean ${words(metric)} of the pinned cells`, ["cell", "mean", "trials", ""], rows), chart));
  const traces = cells.map((cell, k) => cell.curves.map((curve, place) => ({ curve, name: String(k + 1), about: name(pins[k]), of: k, first: place === 0 })));
  await drawLines(chart, traces.flat(), metric, { legend: true });
}

function trialTable(cell, at, metric) {
  const told = new Set(["optimizer", "study", ...(cell.nearest ? [] : Object.keys(at))]); // in the title
  const names = Object.keys(cell.trials[0]).filter((name) => !told.has(name));
  const show = (name, value) => {
    if (name === metric) return metricOf(metric, value);
    return typeof value === "string" || Number.isInteger(value) ? String(value) : shortNumber(value);
  };
  return makeTable(cell.nearest ? "The nearest trials" : "Trials of the cell", names.map(words), cell.trials.map((trial) => names.map((name) => show(name, trial[name]))));
}

function curveDetails(cell, metric) {
  return lazyDetails("The curves as a table", () => {
    const steps = [...new Set(cell.curves.flat().map(([step]) => step))].sort((a, b) => a - b);
    const byStep = cell.curves.map((curve) => new Map(curve));
    return makeTable(`${words(metric)} at each step`, ["step", ...cell.curves.map((_, place) => curveName(cell, place))],
      steps.map((step) => [String(step), ...byStep.map((curve) => metricOf(metric, curve.get(step) ?? null))]));
  });
}

// The pinned cells as an address has them: the name of each one's landscape, then its coordinates; and back.
export const cellPairs = (cells) => cells.flatMap(({ name, at }) => [["cell", name], ...Object.entries(at).map(([axis, value]) => ["at", `${axis}=${value}`])]);

export function cellsOf(address) {
  const found = [];
  for (const [name, value] of address) {
    const cut = value.lastIndexOf("=");
    if (name === "cell") found.push({ name: value, at: {} });
    else if (name === "at" && found.length) found.at(-1).at[value.slice(0, cut)] = Number(value.slice(cut + 1));
  }
  return found;
}
