// How many trials each tuner needed: bars of medians with 95% intervals, and the whole table.

import { query, readJson, studyUrl } from "./api.js";
import { axis, draw, plain, style, theme } from "./chart.js";
import { make, makeTable, readInto } from "./dom.js";
import { shortNumber, words } from "./format.js";

const PATTERNS = ["", "/", ".", "x", "\\", "-"];

// `trials` is the budget of a run, what there is by default.
export const readCost = (study, target, { optimizer, trials } = {}) =>
  readJson(`${studyUrl(study, "/cost")}?${query([["target", target], ["optimizer", optimizer], ["trials", trials]])}`);

export async function showCost(place, study, target, trials) {
  const found = await readInto(place, readCost(study, target, { trials }));
  if (found) await drawCost(place, found.rows, target, words(found.metric), found.incomplete, found.problems, found.notes);
}

// `rows` as the API gives them, `optimizer` being whatever the bars are to be told apart by.
export async function drawCost(place, rows, target, metric, incomplete, problems = [], said = []) {
  const notes = problems.map((each) => make("p", { class: "hint" }, `${each.optimizer}: ${each.detail}`));
  const chart = make("div", { class: "chart bars", role: "img", "aria-label": "Median trials to the target of each tuner; the table below has the numbers" });
  if (!rows.length) {
    place.replaceChildren(...notes);
    return;
  }
  const none = rows.every((row) => row.median === null);
  notes.push(...said.map((each) => make("p", { class: "hint" }, each)));
  if (none && !rows.every((row) => row.reached === null)) notes.push(make("p", { class: "hint" }, "No tuner's median run reaches this target within its budget: choose a larger one to see bars."));
  if (incomplete) notes.push(make("p", { class: "hint" }, `Not complete yet: ${incomplete}`));
  place.replaceChildren(...notes, ...(none ? [] : [chart]), costTable(rows, target, metric));
  if (!none) await draw(chart, () => bars(rows, target));
}

function bars(rows, target) {
  const look = theme();
  const names = [...new Set(rows.map((row) => row.optimizer))];
  const traces = names.map((name, place) => {
    const own = rows.filter((row) => row.optimizer === name);
    const { colour } = style(place);
    const known = (row, end) => (row.median === null || row[end] === null ? 0 : Math.abs(row[end] - row.median));
    return {
      type: "bar", name: plain(name), x: own.map((row) => row.tuner), y: own.map((row) => row.median),
      marker: { color: colour, pattern: { shape: PATTERNS[place % PATTERNS.length], fillmode: "overlay", fgcolor: look.back, size: 6 } },
      error_y: { type: "data", symmetric: false, array: own.map((row) => known(row, "high")), arrayminus: own.map((row) => known(row, "low")), color: look.text, thickness: 1.2, width: 3 },
      hoverinfo: "text", hovertext: own.map((row) => plain(`${name}, ${row.tuner}: ${shortNumber(row.median)} ${rangeText(row)}`)),
    };
  });
  const layout = {
    barmode: "group", bargap: 0.25, xaxis: { fixedrange: true, linecolor: look.line, automargin: true },
    yaxis: axis(`trials until suboptimality ${target}`, "linear", { rangemode: "tozero" }),
    showlegend: names.length > 1, legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, margin: { l: 52, r: 8, t: 8, b: 60 },
  };
  return { traces, layout };
}

const rangeText = (row) => (row.median === null ? "–" : `[${shortNumber(row.low)}, ${row.high === null ? "beyond" : shortNumber(row.high)}]`);

const median = (row) => (row.reached === null ? "not known" : row.median === null ? "beyond the budget" : shortNumber(row.median));
const share = (row) => (row.reached === null ? "–" : `${Math.round(100 * row.reached)}%`);

function costTable(rows, target, metric) {
  const head = ["optimizer", "tuner", "median", "95% interval", "runs that reach it", "observed on these seeds"];
  const body = rows.map((row) => [
    row.optimizer, row.tuner, median(row), rangeText(row), share(row), row.observed === null ? "beyond the budget" : shortNumber(row.observed),
  ]);
  return makeTable(`Trials until the ${metric} is within ${target} of the landscape's best`, head, body, [1]);
}
