// All cells of a grid of three and more axes at once: a line a cell through its values to its mean, the best in front.
// Plotly's own parallel coordinates compile code as they run, which the policy of the pages forbids.

import { readJson, studyUrl } from "./api.js";
import { draw, plain, theme } from "./chart.js";
import { lazyDetails, make, makeTable, readInto, renewKeepingOpen } from "./dom.js";
import { axisNumber, count, metricOf, shortNumber, words } from "./format.js";
import { colourAt, position } from "./heatmap.js";
import { symbolOf } from "./symbols.js";

const MOST_LINES = 3_000;
const LISTED = 20;
const MOST_TICKS = 9;

export async function showParallel(place, study, colours) {
  const found = await readInto(place, readJson(studyUrl(study, "/landscape")));
  if (!found) return;
  const axes = found.axes.filter((axis) => axis.values.length > 1);
  const cells = new Map(found.optimizers.map((each) => [each.name, cellsOf(each.mean, found.axes)]));
  const means = [...cells.values()].flat().map((cell) => cell.mean);
  const [lowest, highest] = means.reduce(([low, high], each) => [Math.min(low, each), Math.max(high, each)], [Infinity, -Infinity]);
  const scale = { lowest, highest, log: lowest > 0 && highest >= 10 * lowest };
  const cards = [...cells].filter(([, all]) => all.length).map(([name, all]) => makeCard(name, all, { axes, scale, colours, metric: found.metric }));
  renewKeepingOpen(place, ...cards.map(({ node }) => node));
  await Promise.all(cards.map(({ chart, picture }) => draw(chart, picture)));
}

// Cells that have a mean, the best first.
function cellsOf(nested, axes) {
  const walk = (part, at) => (at.length === axes.length
    ? [{ mean: part, at: Object.fromEntries(axes.map((axis, k) => [axis.name, at[k]])) }]
    : axes[at.length].values.flatMap((_, k) => walk(part[k], [...at, k])));
  return walk(nested, []).filter((cell) => cell.mean !== null).sort((one, other) => one.mean - other.mean);
}

function makeCard(optimizer, cells, look) {
  const { axes, metric } = look;
  const value = (axis, cell) => axis.words[cell.at[axis.name]] ?? axisNumber(axis.values[cell.at[axis.name]]);
  const chart = make("div", { class: "chart parallel", role: "img", "aria-label": `The cells of ${optimizer}: a line each through their hyperparameters to their mean ${words(metric)}; the table below has the best` });
  const said = cells.length > MOST_LINES ? `The best ${count(MOST_LINES)} of ${count(cells.length)} cells; the thick line is the best.` : `${count(cells.length)} cells; the thick line is the best.`;
  const table = lazyDetails("The best cells as a table", () =>
    makeTable(`${optimizer}: the ${Math.min(LISTED, cells.length)} best cells`, [...axes.map((axis) => symbolOf(axis.name)), `mean ${words(metric)}`],
      cells.slice(0, LISTED).map((cell) => [...axes.map((axis) => value(axis, cell)), metricOf(metric, cell.mean)])));
  return { node: make("div", { class: "card whole" }, make("h3", {}, optimizer), make("p", { class: "hint" }, said), chart, table.element), chart, picture: () => lines(cells.slice(0, MOST_LINES), look) };
}

// Where a value is between an axis's ends, 0 to 1.
function along(axis, k) {
  const at = axis.scale === "log" ? axis.values.map(Math.log) : axis.values;
  return (at[k] - at[0]) / (at.at(-1) - at[0]);
}

function lines(cells, { axes, scale, colours, metric }) {
  const look = theme();
  const rows = cells.map((cell) => [...axes.map((axis) => along(axis, cell.at[axis.name])), 1 - position(cell.mean, scale)]);
  const line = (some, more) => ({
    type: "scatter", mode: "lines", hoverinfo: "skip", cliponaxis: false, ...more,
    x: some.flatMap((row) => [...row.keys(), null]), y: some.flatMap((row) => [...row, null]),
  });
  const byColour = Map.groupBy(rows, (row) => colourAt(1 - row.at(-1), colours));
  const traces = colours.filter((colour) => byColour.has(colour)).reverse().map((colour) => line(byColour.get(colour), { line: { color: colour, width: 1 }, opacity: 0.6 }));
  traces.push(line([rows[0]], { line: { color: look.back, width: 7 } }), line([rows[0]], { name: "best", line: { color: look.text, width: 3.5 } }));
  const label = (x, y, text) => ({ x, y, text: plain(text), showarrow: false, xanchor: "left", xshift: 4, bgcolor: look.back, opacity: 0.85, font: { size: 12 } });
  const ticks = axes.flatMap((axis, x) => {
    const every = Math.ceil(axis.values.length / MOST_TICKS);
    return axis.values.map((each, k) => label(x, along(axis, k), axis.words[k] ?? shortNumber(each))).filter((_, k) => k % every === 0);
  });
  const last = axes.length;
  ticks.push(label(last, 1, metricOf(metric, scale.lowest)), label(last, 0, metricOf(metric, scale.highest)));
  return {
    traces,
    layout: {
      margin: { l: 40, r: 64, t: 8, b: 40 }, annotations: ticks,
      shapes: Array.from({ length: last + 1 }, (_, x) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, layer: "above", line: { color: look.text, width: 1 } })),
      xaxis: { range: [0, last], fixedrange: true, showgrid: false, zeroline: false, tickvals: [...Array(last + 1).keys()], ticktext: [...axes.map((axis) => plain(symbolOf(axis.name))), plain(words(metric))] },
      yaxis: { range: [-0.04, 1.04], visible: false, fixedrange: true },
    },
  };
}
