// What the tuners do, as curves: suboptimality after each trial with its band, trials against the target, and comparisons.

import { query, readJson, studyUrl } from "./api.js";
import { axis, draw, metricAxis, plain, style, theme } from "./chart.js";
import { lazyDetails, make, makeTable, problemText } from "./dom.js";
import { metricText, shortNumber } from "./format.js";

const ask = (study, path, pairs) => readJson(`${studyUrl(study, path)}?${query(pairs)}`);

export async function showCurves(place, study, target, trials) {
  let found;
  try {
    found = await ask(study, "/suboptimality", [["target", target], ["trials", trials]]);
  } catch (error) {
    place.replaceChildren(problemText(error));
    return;
  }
  const optimizers = [...new Set(found.curves.map((each) => each.optimizer))];
  const cards = optimizers.flatMap((name) => {
    const curves = found.curves.filter((each) => each.optimizer === name);
    return [
      card(`${name}: how far from the best`, `Suboptimality of ${name}'s tuners after each trial; the table below has the numbers`, (chart) => suboptimality(curves, found, chart),
        lazyDetails("The curves as a table", () => curveTable(name, curves, found.metric))),
      card(`${name}: trials for each target`, `Trials of ${name}'s tuners against the target; the table below has the numbers`, (chart) => costs(curves, found, chart),
        lazyDetails("The trials as a table", () => targetTable(name, curves, found.metric))),
    ];
  });
  const hint = make("p", { class: "hint" }, "Medians over runs: lines with bands are on the true landscape, as far as it is known, with 95% intervals; thin ones without, and all trials for a target, are of the stored runs on these seeds.");
  place.replaceChildren(...(cards.length ? [hint] : []), make("div", { class: "cards pairs" }, ...cards.map((each) => each.node)));
  await Promise.all(cards.map((each) => draw(each.chart, () => each.picture(each.chart))));
}

function card(title, label, picture, details) {
  const chart = make("div", { class: "chart curves", role: "img", "aria-label": label });
  return { chart, picture, node: make("div", { class: "card" }, make("h3", {}, title), chart, details.element) };
}

const isRate = (metric) => metric.endsWith("error");

// Beside the curves, or above where there is no room: then the chart is as much higher.
function legend(chart, curves) {
  const narrow = chart.clientWidth < 420;
  chart.style.height = narrow ? `${15 + 1.5 * Math.ceil(curves.length / 2)}rem` : "";
  const place = narrow ? { orientation: "h", y: 1.02, yanchor: "bottom" } : { y: 1 };
  return { showlegend: true, legend: { ...place, tracegroupgap: 0 }, margin: { l: 56, r: 8, t: 8, b: 40 } };
}

const faint = (colour) => `${colour}30`;

function suboptimality(curves, { metric, target }, chart) {
  const look = theme();
  const least = Math.min(...curves.flatMap((each) => [...each.low, ...each.observed]).filter((value) => value > 0), target || Infinity) / 1.5;
  const shown = (value) => (value === null ? null : Math.max(value, least)); // a log axis has no 0
  const traces = curves.flatMap((each, place) => {
    const { colour, dash } = style(place);
    const known = each.median.some((value) => value !== null);
    const name = plain(each.tuner);
    const line = (y, more) => ({
      type: "scatter", mode: "lines", name, legendgroup: name, x: each.trial, y: y.map(shown), customdata: y.map((value) => metricText(value, isRate(metric))),
      line: { color: colour, dash, width: 2, shape: "hv" }, hovertemplate: `${name}: %{customdata} after %{x} trials<extra></extra>`, ...more,
    });
    const band = [...each.trial.map((trial, k) => [trial, each.low[k]]), ...each.trial.map((trial, k) => [trial, each.high[k]]).reverse()];
    return known ? [
      { type: "scatter", mode: "lines", fill: "toself", legendgroup: name, showlegend: false, hoverinfo: "skip", line: { width: 0 }, fillcolor: faint(colour), x: band.map(([x]) => x), y: band.map(([, y]) => shown(y)) },
      line(each.median, {}),
    ] : [line(each.observed, { line: { color: colour, dash, width: 1, shape: "hv" } })];
  });
  const goal = target > 0 ? [{ type: "line", x0: 0, x1: 1, xref: "x domain", y0: target, y1: target, line: { color: look.muted, dash: "dot", width: 1 } }] : [];
  const most = Math.max(...curves.flatMap((each) => [...each.high, ...each.observed]));
  return { traces, layout: { xaxis: axis("trials", "linear"), yaxis: metricAxis("suboptimality", least, most, true, isRate(metric), { tickformat: isRate(metric) ? ".2~%" : undefined }), shapes: goal, ...legend(chart, curves) } };
}

// Of the stored runs: how many trials half of them need for each target.
function costs(curves, { metric, target }, chart) {
  const look = theme();
  const traces = curves.map((each, place) => {
    const { colour, dash } = style(place);
    return {
      type: "scatter", mode: "lines", name: plain(each.tuner), x: each.targets, y: each.costs, line: { color: colour, dash, width: 2 },
      customdata: each.targets.map((value) => metricText(value, isRate(metric))), hovertemplate: `${plain(each.tuner)}: %{y} trials to %{customdata}<extra></extra>`,
    };
  });
  const here = target > 0 ? [{ type: "line", y0: 0, y1: 1, yref: "y domain", x0: target, x1: target, line: { color: look.muted, dash: "dot", width: 1 } }] : [];
  return { traces, layout: { xaxis: axis("target: suboptimality", "log", { tickformat: isRate(metric) ? ".2~%" : undefined, nticks: 6, dtick: undefined }), yaxis: axis("trials", "log", { dtick: "D2", rangemode: "tozero" }), shapes: here, ...legend(chart, curves) } };
}

function curveTable(optimizer, curves, metric) {
  const show = (value) => metricText(value, isRate(metric));
  const text = (each, k) => (each.median[k] === null ? `${show(each.observed[k])} on these seeds` : `${show(each.median[k])} [${show(each.low[k])}, ${show(each.high[k])}]`);
  return makeTable(`${optimizer}: median suboptimality with 95% intervals`, ["trial", ...curves.map((each) => each.tuner)],
    curves[0].trial.map((trial, k) => [String(trial), ...curves.map((each) => text(each, k))]));
}

function targetTable(optimizer, curves, metric) {
  return makeTable(`${optimizer}: trials that half of the stored runs need; – more than the budget`, ["target", ...curves.map((each) => each.tuner)],
    curves[0].targets.map((target, k) => [metricText(target, isRate(metric)), ...curves.map((each) => shortNumber(each.costs[k]))]));
}

const SIGNS = { cheaper: "↓", dearer: "↑", equal: "=", undecided: "?" };

export async function showComparisons(place, study, target, optimizers) {
  let found;
  try {
    found = await ask(study, "/cost", [["target", target], ["compare", true]]);
  } catch {
    place.replaceChildren(); // one tuner and one optimizer, or costs that are not known: the rows above say it
    return;
  }
  const row = (each) => [each.on, `${each.first} against ${each.second}`, make("span", { class: `badge ${each.verdict}` }, make("span", { "aria-hidden": "true" }, `${SIGNS[each.verdict]} `), each.verdict),
    each.low === null && each.high === null ? "–" : `${shortNumber(each.ratio)} [${shortNumber(each.low)}, ${shortNumber(each.high)}]`];
  const byTuner = found.rows.filter((each) => !optimizers.includes(each.on)); // pairs of optimizers
  const others = found.rows.filter((each) => optimizers.includes(each.on));
  const table = (rows, caption) => makeTable(caption, ["on", "compared", "verdict", "ratio of trials"], rows.map(row), [1, 2]);
  place.replaceChildren(
    ...(byTuner.length ? [make("h3", {}, "Which optimizer is cheaper to tune"), table(byTuner, "The first's trials to the target over the second's, with 95% intervals; equal is within 1.25 times")] : []),
    ...(others.length ? [lazyDetails("Tuners against one another", () => table(others, "The first tuner's trials to the target over the second's")).element] : []),
    ...found.notes.map((each) => make("p", { class: "hint" }, each)));
}
