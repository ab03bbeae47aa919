// Verdicts, a card each: badges and a plain sentence, the ridge with its intervals, transfer regret, and all as tables.

import { query, readJson, studyUrl } from "./api.js";
import { axis, bandOutline, dotErrors, draw, plain, style, theme, wordTicks } from "./chart.js";
import { lazyDetails, make, makeTable, readInto, renewKeepingOpen } from "./dom.js";
import { axisText, interval, metricText, shortNumber } from "./format.js";
import { inSymbols } from "./symbols.js";
import { isPartial, plainSentence, regimeBadges } from "./verdicts.js";

export const readVerdicts = (study, optimizer, view = []) => readJson(`${studyUrl(study, "/separability")}?${query([["optimizer", optimizer], ...view])}`);

// `optimizers` as a study's progress has them; verdicts are those of a view. Gives them by STUDY/OPTIMIZER, null where there is no answer.
export async function showSeparability(place, study, optimizers, view) {
  const found = await readInto(place, readVerdicts(study, undefined, view.verdictPairs()));
  if (!found) return null;
  const cards = found.verdicts.map((verdict) => makeCard(verdict, found, isPartial(optimizers, verdict.optimizer)));
  const problems = found.problems.map((each) => make("p", { class: "hint" }, `${each.optimizer}: no verdict: ${inSymbols(each.detail)}`));
  const text = view.verdictText();
  const of = text ? [make("p", { class: "hint", role: "status" }, `As on the map above: ${text}.`)] : [];
  renewKeepingOpen(place, ...of, make("div", { class: "cards" }, ...cards.map((card) => card.node)), ...problems);
  await Promise.all(cards.map((card) => card.drawn()));
  return new Map(optimizers.map(({ name }) => [`${study}/${name}`, found.verdicts.filter((each) => each.optimizer === name)]));
}

function makeCard(verdict, { metric, colours }, partial) {
  const [first, second] = verdict.drawn.axes;
  const label = `Ridge of ${verdict.optimizer}: the best ${first.symbol} for each ${second.symbol}; the table below has the numbers`;
  const chart = make("div", { class: "chart ridge", role: "img", "aria-label": label });
  const some = verdict.drawn.dots.length > 0;
  const regret = make("div", { class: "chart regret", role: "img", "aria-label": `Transfer regret of ${verdict.optimizer}: what the best ${first.symbol} of one ${second.symbol} loses at another` });
  const trials = verdict.advice && Object.keys(verdict.advice.trials).length ? make("div", { class: "chart advice", role: "img", "aria-label": `Trials of the tuners before and after tuning ${inSymbols(verdict.advice.coordinate)}; the table below has the numbers` }) : null;
  const node = make("div", { class: "card" },
    make("h3", {}, `${verdict.optimizer}: ${first.symbol} and ${second.symbol}`),
    make("p", { class: "regimes" }, ...regimeBadges(verdict, partial)),
    make("p", { class: "plainly" }, plainSentence(verdict, partial)), make("p", { class: "hint" }, inSymbols(verdict.finding)),
    make("div", { class: "pair" }, ...(some ? [chart] : []), regret),
    ...(trials ? [make("h3", {}, `Before and after tuning ${inSymbols(verdict.advice.coordinate)}`), trials] : []),
    numbersTable(verdict, metric), ...(some ? [dotsDetails(verdict).element] : []), regretDetails(verdict, metric).element);
  const drawn = () => Promise.all([some ? draw(chart, () => ridgeChart(verdict, partial)) : null, draw(regret, () => regretChart(verdict, metric, colours)), trials && draw(trials, () => adviceChart(verdict.advice))]);
  return { node, drawn };
}

// What the first axis's best value, found at one value of the second (upwards), loses at another (across).
function regretChart(verdict, metric, colours) {
  const [first, second] = verdict.drawn.axes;
  const { lose, lose_most: most, words } = verdict.drawn;
  const show = (value) => metricText(value, metric.endsWith("error"));
  const name = (k) => axisText(verdict.drawn, second.name, second.values[k]);
  const text = lose.map((row, i) => row.map((value, j) => plain(`best ${first.symbol} of ${second.symbol} = ${name(i)}, used at ${name(j)}: loses ${show(value)}`)));
  const ticks = wordTicks(words[second.name], second.values);
  const range = second.scale === "log" ? [second.edges[0], second.edges.at(-1)].map(Math.log10) : [second.edges[0], second.edges.at(-1)];
  const trace = {
    type: "heatmap", x: second.edges, y: second.edges, z: lose, zmin: 0, zmax: most, text, hovertemplate: "%{text}<extra></extra>",
    colorscale: colours.map((colour, k) => [k / (colours.length - 1), colour]),
    colorbar: { thickness: 10, outlinewidth: 0, tickformat: metric.endsWith("error") ? ".2~%" : undefined, title: { text: "loses", side: "top" } },
  };
  const layout = {
    xaxis: axis(`${second.symbol} where it is used`, second.scale, { range, showgrid: false, ...ticks }),
    yaxis: axis(`${second.symbol} where ${first.symbol} was tuned`, second.scale, { range, showgrid: false, ...ticks }),
  };
  return { traces: [trace], layout };
}

function regretDetails(verdict, metric) {
  const [first, second] = verdict.drawn.axes;
  const names = second.values.map((value) => axisText(verdict.drawn, second.name, value));
  return lazyDetails("The transfer regret as a table", () =>
    makeTable(`What the best ${first.symbol} of one ${second.symbol} (rows) loses at another (columns)`, [`${second.symbol} \\ ${second.symbol}`, ...names],
      verdict.drawn.lose.map((row, i) => [names[i], ...row.map((value) => metricText(value, metric.endsWith("error")))])));
}

function ridgeChart(verdict, partial) {
  const look = theme();
  const [first, second] = verdict.drawn.axes;
  const { transition } = verdict;
  const line = (points) => ({
    type: "scatter", mode: "lines", x: points.map(([x]) => x), y: points.map(([, y]) => y), line: { color: look.accent, width: 2 }, hoverinfo: "skip",
  });
  const dots = {
    type: "scatter", mode: "markers", x: verdict.drawn.dots.map(([x]) => x), y: verdict.drawn.dots.map(([, y]) => y),
    marker: { color: look.text, size: 7, symbol: partial ? "circle-open" : "circle", line: { width: 1.6 } },
    error_y: dotErrors(verdict.drawn.dots, { color: look.text, thickness: 1.2 }),
    hoverinfo: "text", hovertext: verdict.drawn.dots.map(([x, y, low, high]) => plain(`${second.symbol} = ${axisText(verdict.drawn, second.name, x)}, best ${first.symbol} = ${shortNumber(y)} [${shortNumber(low)}, ${shortNumber(high)}]`)),
  };
  const leftOut = {
    type: "scatter", mode: "markers", x: verdict.drawn.left_out, y: verdict.drawn.left_out.map(() => first.edges[0]), cliponaxis: false,
    marker: { color: look.muted, size: 9, symbol: "triangle-up" }, hoverinfo: "text",
    hovertext: verdict.drawn.left_out.map((x) => plain(`${second.symbol} = ${axisText(verdict.drawn, second.name, x)}: left out, its best ${first.symbol} is not well inside the grid`)),
  };
  const bandTrace = { ...bandOutline(verdict.drawn.band), fillcolor: look.accent, opacity: 0.2 };
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
  return { traces: [bandTrace, ...verdict.drawn.lines.map(line), dots, leftOut], layout };
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
  return makeTable(`${verdict.optimizer}: slope of the best ${first.symbol} against ${second.symbol}, with 95% intervals`, ["quantity", "estimate"], rows);
}

// Trials of each tuner in the old coordinates and in the new one; beyond the budget is an arrow at it.
function adviceChart({ trials, budget }) {
  const look = theme();
  const tuners = Object.keys(trials);
  const traces = ["before", "after"].map((when, place) => {
    const { colour, mark } = style(place);
    const costs = tuners.map((tuner) => trials[tuner][when]);
    const shown = costs.map((each) => each.estimate ?? budget);
    return {
      type: "scatter", mode: "markers", name: when, x: shown, y: tuners.map((_, k) => -k - 0.14 + 0.28 * (1 - place)), cliponaxis: false,
      marker: { color: colour, size: 9, symbol: costs.map((each) => (each.estimate === null ? "triangle-right" : mark)) },
      error_x: { type: "data", symmetric: false, color: colour, thickness: 1.6, width: 3, array: costs.map((each, k) => (each.estimate === null ? 0 : (each.high ?? budget) - shown[k])), arrayminus: costs.map((each, k) => (each.low === null ? 0 : shown[k] - each.low)) },
      hoverinfo: "text", hovertext: costs.map((each, k) => plain(`${tuners[k]}, ${when}: ${each.estimate === null ? `more than ${budget}` : interval(each)}`)),
    };
  });
  return {
    traces, layout: {
      xaxis: axis("trials to the target", "linear", { range: [0, 1.06 * budget] }), showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      yaxis: { tickvals: tuners.map((_, k) => -k), ticktext: tuners.map(plain), range: [0.6 - tuners.length, 0.6], fixedrange: true, showgrid: false, zeroline: false, automargin: true, linecolor: look.line },
    },
  };
}

function adviceRows(advice, lost) {
  const median = (each) => (each.estimate === null ? `more than ${advice.budget}` : interval(each, (value) => (value === null ? "…" : String(Math.round(value)))));
  const trials = Object.entries(advice.trials).map(([tuner, cost]) =>
    [`${tuner}: trials in ${inSymbols(advice.coordinate)}, and before`, `${median(cost.after)}; ${median(cost.before)}`]);
  return [[`the same, tuning ${inSymbols(advice.coordinate)}`, interval(advice.penalty, lost)], ...trials];
}

function dotsDetails(verdict) {
  const [first, second] = verdict.drawn.axes;
  return lazyDetails("The ridge as a table", () =>
    makeTable("Rows whose optimum lies inside the grid, with 95% intervals; the others are left out", [second.label, `best ${first.label}`],
      [...verdict.drawn.dots.map(([x, y, low, high]) => [x, interval({ estimate: y, low, high })]), ...verdict.drawn.left_out.map((x) => [x, "left out"])]
        .sort(([a], [b]) => a - b).map(([x, text]) => [axisText(verdict.drawn, second.name, x), text])));
}
