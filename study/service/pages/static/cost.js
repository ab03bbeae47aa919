// How many trials each tuner needed: a row of median and 95% interval each, and the whole table. What lies beyond the
// budget is an arrow at it, never an empty place.

import { query, readJson, studyUrl } from "./api.js";
import { axis, draw, plain, style, theme } from "./chart.js";
import { make, makeTable, readInto } from "./dom.js";
import { shortNumber, words } from "./format.js";

const ROW = 24; // pixels

// `trials` is the budget of a run, what there is by default.
export const readCost = (study, target, { optimizer, trials } = {}) =>
  readJson(`${studyUrl(study, "/cost")}?${query([["target", target], ["optimizer", optimizer], ["trials", trials]])}`);

// Gives how many costs are known.
export async function showCost(place, study, target, trials) {
  const found = await readInto(place, readCost(study, target, { trials }));
  if (!found) return 0;
  const rows = found.rows.map((row) => ({ ...row, budget: found.budget }));
  await drawCost(place, rows, target, words(found.metric), found.incomplete, found.problems, found.notes);
  return rows.filter((row) => row.reached !== null).length;
}

// `rows` as the API gives them with the `budget` of their runs, `optimizer` being whatever they are told apart by.
export async function drawCost(place, rows, target, metric, incomplete, problems = [], said = []) {
  const notes = [...problems.map((each) => `${each.optimizer}: ${each.detail}`), ...said];
  if (incomplete) notes.push(`Not complete yet, so far relative to the best cell that is known: ${incomplete}`);
  const hints = notes.map((each) => make("p", { class: "hint" }, each));
  if (!rows.length) {
    place.replaceChildren(...hints);
    return;
  }
  const chart = make("div", { class: "chart rows", role: "img", "aria-label": "Trials that each tuner needs; the table below has the numbers" });
  const order = [...new Set(rows.map((row) => row.tuner))].flatMap((tuner) => rows.filter((row) => row.tuner === tuner));
  chart.style.height = `${110 + ROW * order.length}px`;
  place.replaceChildren(...hints, chart, costTable(rows, target, metric));
  await draw(chart, () => rowsChart(order, target));
}

// A row from the top down for each tuner and optimizer, a tuner's together.
function rowsChart(rows, target) {
  const look = theme();
  const names = [...new Set(rows.map((row) => row.optimizer))];
  const budgets = [...new Set(rows.map((row) => row.budget))];
  const end = 1.06 * Math.max(...budgets);
  const placed = rows.map((row, place) => ({ ...row, at: -place }));
  const traces = names.flatMap((name, place) => tracesOf(placed.filter((row) => row.optimizer === name), name, style(place)));
  const tuners = [...new Set(rows.map((row) => row.tuner))];
  const middle = (tuner) => {
    const own = placed.filter((row) => row.tuner === tuner).map((row) => row.at);
    return (own[0] + own.at(-1)) / 2;
  };
  const budgetLines = budgets.map((budget) => (
    { type: "line", x0: budget, x1: budget, y0: 0, y1: 1, yref: "y domain", line: { color: look.muted, dash: "dot", width: 1 }, layer: "below" }));
  const rules = tuners.slice(1).map((tuner) => {
    const at = placed.find((row) => row.tuner === tuner).at + 0.5;
    return { type: "line", x0: 0, x1: 1, xref: "x domain", y0: at, y1: at, line: { color: look.line, width: 1 }, layer: "below" };
  });
  const beside = { xref: "x domain", x: 1, xanchor: "left", showarrow: false, font: { color: look.muted } };
  const layout = {
    xaxis: axis(`trials until suboptimality ${target}`, "linear", { range: [0, end] }),
    yaxis: { range: [0.6 - rows.length, 0.6], tickvals: tuners.map(middle), ticktext: tuners.map(plain), fixedrange: true, showgrid: false, zeroline: false, automargin: true, linecolor: look.line },
    shapes: [...budgetLines, ...rules],
    annotations: [
      { ...beside, y: 1, yref: "y domain", yanchor: "bottom", xanchor: "right", xshift: 52, text: "runs that reach it" },
      ...placed.map((row) => ({ ...beside, y: row.at, xshift: 8, text: share(row) })),
      ...placed.filter((row) => middleOf(row) === null).map((row) => (
        { x: row.budget, y: row.at, xanchor: "right", xshift: -10, showarrow: false, bgcolor: look.back, text: beyond(row) })),
    ],
    showlegend: names.length > 1, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    margin: { l: 52, r: 56, t: names.length > 1 ? 44 : 24, b: 44 },
  };
  return { traces, layout };
}

// One optimizer's: intervals, then medians (hollow where they are of the stored runs alone), then arrows.
function tracesOf(rows, name, { colour, mark }) {
  const known = rows.filter((row) => row.reached !== null);
  const there = (row) => middleOf(row) !== null;
  const ends = known.filter((row) => row.low !== null);
  const text = (some) => some.map((row) => plain(`${name}, ${row.tuner}: ${medianText(row)} ${rangeText(row)}`));
  const points = (some, x, marker) => ({
    type: "scatter", mode: "markers", name: plain(name), legendgroup: name, showlegend: false, cliponaxis: false,
    x, y: some.map((row) => row.at), marker: { color: colour, ...marker }, hoverinfo: "text", hovertext: text(some),
  });
  const open = rows.filter((row) => isOpen(row));
  return [
    {
      type: "scatter", mode: "lines", showlegend: false, legendgroup: name, hoverinfo: "skip", line: { color: colour, width: 2 },
      x: ends.flatMap((row) => [row.low, row.high ?? row.budget, null]), y: ends.flatMap((row) => [row.at, row.at, null]),
    },
    {
      ...points(rows.filter(there), rows.filter(there).map(middleOf), {
        symbol: rows.filter(there).map((row) => (row.reached === null ? `${mark}-open` : mark)), size: 9, line: { width: 1.6 },
      }),
    },
    points(open, open.map((row) => row.budget), { symbol: "triangle-right", size: 11 }),
    { ...points([], [], { symbol: mark, size: 9 }), x: [null], y: [null], showlegend: true }, // the legend's
  ];
}

const middleOf = (row) => (row.reached === null ? row.observed : row.median);
const isOpen = (row) => middleOf(row) === null || (row.reached !== null && row.high === null);

const beyond = (row) => `more than ${row.budget}`;
const trials = (row, value) => (value === null ? beyond(row) : shortNumber(value));
const medianText = (row) => (row.reached === null ? `${trials(row, row.observed)} on these seeds` : trials(row, row.median));
const rangeText = (row) => (row.reached === null ? "" : row.low === null ? "–" : `[${shortNumber(row.low)}, ${trials(row, row.high)}]`);
const percent = (value) => `${Math.round(100 * value)}%`;
const share = (row) => (row.reached === null ? "–" : percent(row.reached));
const shareRange = (row) => (row.reached === null ? "–" : `${percent(row.reached)} [${percent(row.reached_low)}, ${percent(row.reached_high)}]`);

function costTable(rows, target, metric) {
  const head = ["optimizer", "tuner", "median", "95% interval", "runs that reach it", "observed on these seeds"];
  const body = rows.map((row) => [
    row.optimizer, row.tuner, row.reached === null ? "not known" : trials(row, row.median), rangeText(row) || "–", shareRange(row),
    row.replicates ? `${trials(row, row.observed)}, ${row.replicates} runs` : "–",
  ]);
  return makeTable(`Trials until the ${metric} is within ${target} of the landscape's best`, head, body, [1]);
}
