// One landscape of two axes as a heatmap: colours by the shared scale, a star on the best cell, and the ridge
// with its intervals, band and transition. Marks are hollow while trials are to come.

import { axis, bandOutline, dotErrors, metricAxis, plain, style, theme, wordTicks } from "./chart.js";
import { axisText, metricText, words } from "./format.js";
import { symbolOf } from "./symbols.js";

const HATCH = (colour) =>
  `data:image/svg+xml,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" width="600" height="600"><defs><pattern id="h" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line x1="0" y1="0" x2="0" y2="8" stroke="${colour}" stroke-width="1.6"/></pattern></defs><rect width="600" height="600" fill="url(#h)"/></svg>`)}`;

// 0 for the best mean of all panels, 1 for the worst.
export function position(value, scale) {
  if (value === null || scale === null) return null;
  if (scale.highest === scale.lowest) return 0;
  const [low, high, at] = [scale.lowest, scale.highest, Math.min(Math.max(value, scale.lowest), scale.highest)];
  return scale.log ? Math.log(at / low) / Math.log(high / low) : (at - low) / (high - low);
}

// The nearest of the scale's stops.
export const colourAt = (at, colours) => colours[Math.round(at * (colours.length - 1))];

export function cellText(panel, { scale, shown, seed }, place) {
  const at = (nested) => place.reduce((inner, each) => inner[each], nested);
  const coordinates = panel.axes.map((each, k) => `${each.symbol} = ${axisText(panel, each.name, each.values[place[k]])}`);
  const held = panel.others.map((name) => `${symbolOf(name)} = ${axisText(panel, name, at(panel.held[name]))}`);
  const lines = [coordinates.join(", ")];
  if (held.length) lines.push(`${panel.problem ? "" : "best "}at ${held.join(", ")}`);
  if (at(panel.count) === 0) return [...lines, panel.surrogate ? "too uncertain" : "no trial yet"];
  const percent = scale.percent;
  if (panel.surrogate) return [...lines, `surrogate ${metricText(at(panel.mean), percent)}`];
  const seeds = panel.expected_seeds === at(panel.count) ? `${at(panel.count)}` : `${at(panel.count)} of ${panel.expected_seeds}`;
  lines.push(seed === null ? `mean ${metricText(at(panel.mean), percent)} (${seeds} ${panel.expected_seeds === 1 ? "seed" : "seeds"})` : `seed ${seed}: ${metricText(at(panel.mean), percent)}`);
  if (shown === "spread") lines.push(`standard deviation ${metricText(at(panel.spread), percent)}`);
  if (isBest(panel, place) && panel.best.unseen !== null) lines.push(`the best cell; on unseen seeds ${metricText(panel.best.unseen, percent)}`);
  if (at(panel.dead)) lines.push("every trial diverged");
  if (at(panel.stopped)) lines.push("stopped early: at least so good");
  if (panel.values && panel.seeds.length <= 10 && panel.seeds.length > 1) {
    lines.push(...panel.seeds.map((seed, k) => `seed ${seed}: ${metricText(at(panel.values[k]), percent)}`));
  }
  return lines;
}

export const isBest = (panel, place) =>
  Boolean(panel.best) && panel.axes.every((axis, k) => axis.values[place[k]] === panel.best.coordinates[axis.name]);

export const isPartialPanel = (panel) => panel.trials < panel.expected;

const hoverText = (...given) => cellText(...given).map(plain).join("<br>");

// `marked` are cells to frame: their place, which of how many pinned ones; `ridge` is a verdict on the panel's axes with
// what to draw of it, if there is one.
export function heatmap(panel, document, marked, ridge) {
  const look = theme();
  const [up, across] = panel.axes;
  const { scale } = document;
  const numbers = panel[document.shown];
  const text = numbers.map((row, i) => row.map((_, j) => hoverText(panel, document, [i, j])));
  const colours = document.colours.map((colour, k) => [k / (document.colours.length - 1), colour]);
  const white = { color: isPartialPanel(panel) ? HOLLOW : "white", line: { color: "black", width: 1.2 } };
  const dead = panel.dead.flat().some(Boolean) ? [
    {
      type: "heatmap", x: across.edges, y: up.edges, z: panel.dead.map((row) => row.map((each) => (each ? 1 : null))),
      colorscale: [[0, look.dead], [1, look.dead]], zmin: 0, zmax: 1, showscale: false, hoverinfo: "skip",
    },
  ] : [];
  const traces = [
    ...dead,
    {
      type: "heatmap", x: across.edges, y: up.edges, z: numbers.map((row, i) => row.map((each, j) => (panel.dead[i][j] ? null : position(each, scale)))),
      text, hovertemplate: "%{text}<extra></extra>", colorscale: colours, zmin: 0, zmax: 1, showscale: false,
    },
    ...contours(panel, scale),
    ...(ridge ? ridgeTraces(ridge.drawn, white, up) : []),
    { ...cellsWhere(panel, (i, j) => panel.stopped[i][j]), marker: { color: "#bbb", symbol: "x-thin-open", size: 8 } },
    { ...provisional(panel), marker: { color: "white", symbol: "line-ne-open", size: 7, line: { color: look.text, width: 1 } } },
  ];
  if (panel.best) {
    const { coordinates } = panel.best;
    traces.push({ ...points([coordinates[across.name]], [coordinates[up.name]]), marker: { ...white, symbol: "star", size: 17 } });
  }
  traces.push(numbersOf(marked, ([i, j]) => [across.values[j], up.values[i]]));
  const inUnits = (each, ends) => (each.scale === "log" ? ends.map(Math.log10) : ends);
  const range = (each) => inUnits(each, document.ranges.get(`${each.name} ${each.scale}`));
  const [[left, right], [bottom, top]] = [across, up].map((each) => inUnits(each, [each.edges[0], each.edges.at(-1)]));
  const ticks = (each) => wordTicks(panel.words[each.name], each.values);
  const layout = {
    xaxis: axis(across.label, across.scale, { range: range(across), showgrid: false, ...ticks(across) }),
    yaxis: axis(up.label, up.scale, { range: range(up), showgrid: false, ...ticks(up) }),
    images: [{ source: HATCH(look.hatch), xref: "x", yref: "y", x: left, y: top, sizex: right - left, sizey: top - bottom, sizing: "stretch", layer: "below" }],
    shapes: [...(ridge ? transitionShapes(ridge.transition) : []), ...marked.filter(({ of }) => of === 1).map((each) => frame(panel, each))],
  };
  return { traces, layout };
}

// Where the mean is the best one and a bit more: the nearer, the thicker.
function contours(panel, scale) {
  if (!panel.best || !scale || panel.axes.some((axis) => axis.values.length < 3)) return [];
  const [up, across] = panel.axes;
  const z = panel.mean.map((row, i) => row.map((each, j) => (panel.dead[i][j] ? null : each)));
  return scale.contours.map((more, k) => ({
    type: "contour", x: across.values, y: up.values, z, autocontour: false, showscale: false, hoverinfo: "skip",
    contours: { start: panel.best.mean + more, end: panel.best.mean + more, size: 1, coloring: "none" },
    line: { color: "white", width: 2 - 0.6 * k, smoothing: 0 }, colorscale: [[0, "white"], [1, "white"]],
  }));
}

const HOLLOW = "rgba(255, 255, 255, 0.15)";

function ridgeTraces(drawn, marker, up) {
  const column = (rows, k) => rows.map((row) => row[k]);
  const { band, dots, lines } = drawn;
  const line = (width, color) => ({
    type: "scatter", mode: "lines", hoverinfo: "skip", line: { color, width },
    x: lines.flatMap((points) => [...column(points, 0), null]), y: lines.flatMap((points) => [...column(points, 1), null]),
  });
  return [
    { ...bandOutline(band), fillcolor: "rgba(255, 255, 255, 0.35)" },
    line(4, "black"), line(2, "white"),
    {
      ...points(column(dots, 0), column(dots, 1)), name: "ridge", marker: { ...marker, symbol: "circle", size: 7 },
      error_y: dotErrors(dots, { color: "black", thickness: 1.4 }),
    },
    { ...points(drawn.left_out, drawn.left_out.map(() => up.edges[0])), name: "left out", marker: { symbol: "triangle-up", size: 9, color: "white", line: { color: "black", width: 1.2 } } },
  ];
}

function transitionShapes(transition) {
  if (!transition) return [];
  const over = { y0: 0, y1: 1, yref: "y domain" };
  return [
    { type: "rect", x0: transition.low, x1: transition.high, ...over, fillcolor: "black", opacity: 0.14, line: { width: 0 } },
    { type: "line", x0: transition.estimate, x1: transition.estimate, ...over, line: { color: "black", dash: "dash", width: 1.4 } },
  ];
}

function points(x, y) {
  return { type: "scatter", mode: "markers", x, y, hoverinfo: "skip", cliponaxis: false };
}

// Cells whose mean lacks seeds that will come.
function provisional(panel) {
  return cellsWhere(panel, (i, j) => panel.count[i][j] > 0 && panel.count[i][j] < panel.expected_seeds);
}

function cellsWhere(panel, wanted) {
  const [up, across] = panel.axes;
  const [x, y] = [[], []];
  for (const [i, row] of panel.count.entries()) {
    for (const j of row.keys()) {
      if (!wanted(i, j)) continue;
      x.push(across.values[j]);
      y.push(up.values[i]);
    }
  }
  return points(x, y);
}

const LONE = "#e8590c";
const markColour = ({ order, of }) => (of > 1 ? style(order).colour : LONE);

function frame(panel, { place: [i, j] }) {
  const [up, across] = panel.axes;
  return {
    type: "rect", x0: across.edges[j], x1: across.edges[j + 1], y0: up.edges[i], y1: up.edges[i + 1],
    line: { color: LONE, width: 2.5 }, layer: "above",
  };
}

// The numbers of pinned cells, where there are several.
function numbersOf(marked, at) {
  const several = marked.filter(({ of }) => of > 1);
  const [x, y] = [0, 1].map((k) => several.map(({ place }) => at(place)[k]));
  return {
    ...points(x, y), mode: "markers+text", text: several.map(({ order }) => String(order + 1)), textfont: { color: "black", size: 12 },
    marker: { symbol: "circle", size: 17, color: "white", line: { width: 2.5, color: several.map(markColour) } },
  };
}

// A landscape of one axis: the mean as a line, a mark a seed, on the metric's own axis.
export function curve(panel, document, marked) {
  const look = theme();
  const [along] = panel.axes;
  const { scale, metric } = document;
  const numbers = panel[document.shown];
  const text = numbers.map((_, i) => hoverText(panel, document, [i]));
  const grey = { color: look.muted, symbol: "line-ew-open", size: 7, line: { width: 1 } };
  const traces = (document.shown === "mean" ? panel.values ?? [] : []).map((values) => ({ ...points(along.values, values), marker: grey }));
  traces.push({
    type: "scatter", mode: "lines+markers", x: along.values, y: numbers, text, hovertemplate: "%{text}<extra></extra>",
    line: { color: look.accent }, marker: { size: 7, color: look.accent },
  });
  if (panel.best) {
    const best = points([panel.best.coordinates[along.name]], [numbers[along.values.indexOf(panel.best.coordinates[along.name])]]);
    traces.push({ ...best, marker: { symbol: "star", size: 16, color: "white", line: { color: "black", width: 1 } } });
  }
  const there = marked.filter(({ place }) => numbers[place[0]] !== null);
  const here = points(there.map(({ place }) => along.values[place[0]]), there.map(({ place }) => numbers[place[0]]));
  traces.push({ ...here, marker: { symbol: "square-open", size: 14, color: there.map(markColour), line: { width: 2.5 } } });
  traces.push(numbersOf(there, ([i]) => [along.values[i], numbers[i]]));
  const ends = scale ? [scale.lowest, scale.highest] : [0.1, 1];
  const range = scale?.log ? [Math.log10(ends[0]) - 0.1, Math.log10(ends[1]) + 0.1] : [ends[0] - 0.05 * (ends[1] - ends[0] || 1), ends[1] + 0.05 * (ends[1] - ends[0] || 1)];
  const layout = {
    hovermode: "x", hoverdistance: -1, // anywhere above a cell is that cell
    xaxis: axis(along.label, along.scale, wordTicks(panel.words[along.name], along.values)),
    yaxis: metricAxis(document.shown === "mean" ? words(metric) : `standard deviation of the ${words(metric)}`, ends[0], ends[1], scale?.log, scale?.percent, { range }),
  };
  return { traces, layout };
}
