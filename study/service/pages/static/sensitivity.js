// How sensitive each optimizer is: what each value of a hyperparameter loses with the others tuned, how wide the good
// range is, what the default costs, and importance beside it. Made when it is looked at, for it may take a minute.

import { readJson, studyUrl } from "./api.js";
import { axis, draw, plain, theme } from "./chart.js";
import { make, makeTable, readInto, renewKeepingOpen } from "./dom.js";
import { axisNumber, interval, metricText, shortNumber } from "./format.js";
import { inSymbols, symbolOf } from "./symbols.js";

export async function showSensitivity(place, study) {
  const found = await readInto(place, readJson(studyUrl(study, "/sensitivity")));
  if (!found) return;
  const cards = found.optimizers.map(makeCard);
  const problems = found.problems.map((each) => make("p", { class: "hint" }, `${each.optimizer}: ${inSymbols(each.detail)}`));
  renewKeepingOpen(place, ...cards.map((each) => each.node), ...problems);
  await Promise.all(cards.flatMap((each) => each.charts.map(([chart, picture]) => draw(chart, picture))));
}

function makeCard(found) {
  const lost = (value) => metricText(value, found.metric.endsWith("error"));
  const charts = found.hyperparameters.map((each) => {
    const chart = make("div", { class: "chart profile", role: "img", "aria-label": `What each ${symbolOf(each.hyperparameter)} of ${found.optimizer} loses; the table below has the widths` });
    return [chart, () => profile(each, found.metric)];
  });
  const rows = found.hyperparameters.map((each) => [
    `${symbolOf(each.hyperparameter)}, ${each.unit}`, ...each.widths.map((width) => interval(width.tuned)),
    each.default.value === null ? inSymbols(each.default.problem ?? "–") : axisNumber(each.default.value), interval(each.lost_at_default, lost),
    shortNumber(each.fanova), shortNumber(each.ped_anova),
  ]);
  const withins = found.hyperparameters[0]?.widths.map((width) => `width within ${lost(width.within)}`) ?? [];
  const table = makeTable(`${found.optimizer}: how far values reach that lose so little, the others tuned, with 95% intervals; importance is Optuna's, of the same trials`,
    ["hyperparameter", ...withins, "default", "default loses", "fANOVA", "PED-ANOVA"], rows, [withins.length + 1]);
  const node = make("div", { class: "card whole" }, make("h3", {}, found.optimizer), make("p", { class: "plainly" }, inSymbols(found.sentence)),
    ...(found.problem ? [make("p", { class: "hint" }, inSymbols(found.problem))] : []), make("div", { class: "profiles" }, ...charts.map(([chart]) => chart)), table);
  return { node, charts };
}

function profile({ hyperparameter, unit, profile: found, default: byDefault }, metric) {
  const look = theme();
  const percent = metric.endsWith("error");
  const text = found.values.map((value, k) => plain(`${symbolOf(hyperparameter)} = ${axisNumber(value)}: loses ${metricText(found.estimate[k], percent)} [${metricText(found.low[k], percent)}, ${metricText(found.high[k], percent)}]`));
  const around = { type: "scatter", mode: "lines", fill: "toself", line: { width: 0 }, fillcolor: look.accent, opacity: 0.2, hoverinfo: "skip" };
  const traces = [
    { ...around, x: [...found.values, ...[...found.values].reverse()], y: [...found.low, ...[...found.high].reverse()] },
    { type: "scatter", mode: "lines+markers", x: found.values, y: found.estimate, line: { color: look.accent, width: 2 }, marker: { size: 5 }, hoverinfo: "text", hovertext: text },
  ];
  const shapes = byDefault.value === null ? [] : [{ type: "line", x0: byDefault.value, x1: byDefault.value, y0: 0, y1: 1, yref: "y domain", line: { color: look.muted, dash: "dot", width: 1.4 } }];
  const annotations = byDefault.value === null ? [] : [{ x: unit === "decades" ? Math.log10(byDefault.value) : byDefault.value, y: 1, yref: "y domain", yanchor: "top", xanchor: "left", xshift: 3, showarrow: false, text: "default", font: { color: look.muted } }];
  return { traces, layout: { xaxis: axis(symbolOf(hyperparameter), unit === "decades" ? "log" : "linear"), yaxis: axis("loses", "linear", { rangemode: "tozero", tickformat: percent ? ".2~%" : undefined }), shapes, annotations } };
}
