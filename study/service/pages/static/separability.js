// Verdicts: the sentence, the ridge's dots with the fitted lines, the transition with its interval, and all as tables.

import { query, readJson } from "./api.js";
import { axis, draw, plain, theme, wordTicks } from "./chart.js";
import { lazyDetails, make, makeTable, readInto, renewKeepingOpen } from "./dom.js";
import { axisText, interval, metricText, shortNumber } from "./format.js";

const SIGNS = { coupled: "↗", decoupled: "→", undecided: "?" };

export const verdictBadge = (verdict) =>
  make("span", { class: "badge" }, make("span", { "aria-hidden": "true" }, `${SIGNS[verdict]} `), verdict);

export const readRidges = (study, optimizer) => readJson(`/pages/ridges?${query([["study", study], ["optimizer", optimizer]])}`);

export async function showSeparability(place, study) {
  const found = await readInto(place, readRidges(study));
  if (!found) return;
  const cards = found.verdicts.map((verdict) => makeCard(verdict, found.metric));
  const problems = found.problems.map((each) => make("p", { class: "hint" }, `${each.optimizer}: no verdict: ${each.detail}`));
  renewKeepingOpen(place, make("div", { class: "cards" }, ...cards.map((card) => card.node)), ...problems);
  await Promise.all(cards.map((card) => card.drawn()));
}

function makeCard(verdict, metric) {
  const [first, second] = verdict.drawn.axes;
  const label = `Ridge of ${verdict.optimizer}: the best ${first.name} for each ${second.name}; the table below has the numbers`;
  const chart = make("div", { class: "chart ridge", role: "img", "aria-label": label });
  const some = verdict.drawn.dots.length > 0;
  const node = make("div", { class: "card" },
    make("p", {}, verdictBadge(verdict.verdict), " ", verdict.sentence),
    ...(some ? [chart] : []), numbersTable(verdict, metric), ...(some ? [dotsDetails(verdict).element] : []));
  return { node, drawn: () => (some ? draw(chart, () => ridgeChart(verdict)) : null) };
}

function ridgeChart(verdict) {
  const look = theme();
  const [first, second] = verdict.drawn.axes;
  const { transition } = verdict;
  const line = (points) => ({
    type: "scatter", mode: "lines", x: points.map(([x]) => x), y: points.map(([, y]) => y), line: { color: look.accent, width: 2 }, hoverinfo: "skip",
  });
  const dots = {
    type: "scatter", mode: "markers", x: verdict.drawn.dots.map(([x]) => x), y: verdict.drawn.dots.map(([, y]) => y),
    marker: { color: look.text, size: 7, symbol: "circle-open", line: { width: 1.6 } },
    hoverinfo: "text", hovertext: verdict.drawn.dots.map(([x, y]) => plain(`${second.symbol} = ${axisText(verdict.drawn, second.name, x)}, best ${first.symbol} = ${shortNumber(y)}`)),
  };
  const full = (each) => {
    const ends = each.edges.length ? [each.edges[0], each.edges.at(-1)] : [each.values[0], each.values[0]];
    return each.scale === "log" ? ends.map(Math.log10) : ends;
  };
  const shapes = transition ? [
    { type: "rect", x0: transition.low, x1: transition.high, y0: 0, y1: 1, yref: "y domain", fillcolor: look.muted, opacity: 0.18, line: { width: 0 }, layer: "below" },
    { type: "line", x0: transition.estimate, x1: transition.estimate, y0: 0, y1: 1, yref: "y domain", line: { color: look.muted, dash: "dot", width: 1.5 } },
  ] : [];
  const ticks = (each) => wordTicks(verdict.drawn.words[each.name], each.values);
  const layout = {
    xaxis: axis(second.label, second.scale, { range: full(second), ...ticks(second) }),
    yaxis: axis(`best ${first.label}`, first.scale, { range: full(first), ...ticks(first) }), shapes,
  };
  return { traces: [...verdict.drawn.lines.map(line), dots], layout };
}

function numbersTable(verdict, metric) {
  const [first, second] = verdict.drawn.axes;
  const rows = verdict.regimes.map((regime) =>
    [`slope, ${second.symbol} from ${shortNumber(regime.from)} to ${shortNumber(regime.to)}`, interval(regime.slope)]);
  if (verdict.transition) rows.push([`transition, ${second.symbol}`, interval(verdict.transition)]);
  const percent = metric.endsWith("error");
  const lost = (value) => metricText(value, percent);
  rows.push(["tuning one after the other loses", interval(verdict.penalty, lost)]);
  rows.push(["interaction share", interval(verdict.interaction)], ["second-order Sobol' index", interval(verdict.interaction.sobol)]);
  if (verdict.seeds_to_decide !== null) rows.push(["seeds, and how many decide", `${verdict.seeds} of ${verdict.seeds_to_decide}`]);
  if (verdict.advice) rows.push(...adviceRows(verdict.advice, lost));
  return makeTable(`${verdict.optimizer}: slope of the best ${first.symbol} against ${second.symbol}, with 95% intervals`, ["", "estimate"], rows);
}

function adviceRows(advice, lost) {
  const median = (each) => (each.estimate === null ? `more than ${advice.budget}` : interval(each, (value) => (value === null ? "…" : String(Math.round(value)))));
  const trials = Object.entries(advice.trials).map(([tuner, cost]) =>
    [`${tuner}: trials in ${advice.coordinate}, and before`, `${median(cost.after)}; ${median(cost.before)}`]);
  return [[`the same, tuning ${advice.coordinate}`, interval(advice.penalty, lost)], ...trials];
}

function dotsDetails(verdict) {
  const [first, second] = verdict.drawn.axes;
  return lazyDetails("The ridge as a table", () =>
    makeTable("Rows whose optimum lies inside the grid", [second.label, `best ${first.label}`],
      verdict.drawn.dots.map(([x, y]) => [axisText(verdict.drawn, second.name, x), shortNumber(y)])));
}
