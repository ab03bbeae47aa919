// Landscapes side by side on one scale: drawn, renewed in place, walked by keyboard, and as tables.

import { draw, drop } from "./chart.js";
import { query, readJson } from "./api.js";
import { lazyDetails, make, makeTable } from "./dom.js";
import { axisText, count, metricText, shortNumber, words } from "./format.js";
import { cellText, curve, heatmap, isBest, isPartialPanel } from "./heatmap.js";
import { symbolOf } from "./symbols.js";
import { shownText } from "./view.js";

const MOVES = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };
const MOST_PINNED = 6; // as many as there are colours
const keyOf = (panel) => `${panel.study}/${panel.optimizer}`;

// `view` are pairs of what else to ask for.
export const readPanels = (names, view = []) => readJson(`/api/v1/panels?${query([...names.map((name) => ["study", name]), ...view])}`);

// Coordinates of all axes of a cell, those not shown at their best value.
export function coordinatesOf(panel, place) {
  const shown = panel.axes.map((axis, k) => [axis.name, axis.values[place[k]]]);
  const held = panel.others.map((name) => [name, place.reduce((inner, each) => inner[each], panel.held[name])]);
  return { ...Object.fromEntries([...shown, ...held]), ...panel.fixed };
}

const isSame = (one, other) => keyOf(one.panel) === keyOf(other.panel) && Object.entries(one.coordinates).every(([name, value]) => other.coordinates[name] === value);

export class Panels {
  // `choose(panel, place, more)` on a click or Enter, `more` with Shift; `move(panel, place)` when arrow keys moved; `point(panel, place)` when the pointer is on a
  // cell; `tell(panel)`: what else to say of a landscape.
  constructor({ container, legend, tables, announcer, title, choose, move, point, tell = () => [] }) {
    Object.assign(this, { container, legend, tables, announcer, title, choose, move, point, tell, pins: [] });
    this.shown = new Map(); // name -> { panel, node, chart, details, cursor }
    this.ridges = new Map(); // name -> verdicts with what to draw of them
  }

  // Verdicts by STUDY/OPTIMIZER, to draw on the landscapes of their axes.
  setRidges(ridges) {
    this.ridges = ridges;
    if (!this.document) return;
    this.redrawAll();
    this.renewLegend();
  }

  // Pins a cell: "only" this one, "add" it to the others (or take it from them), or "move" the last one there.
  pin(panel, coordinates, how = "only") {
    const pin = { panel, coordinates };
    const same = this.pins.filter((each) => isSame(each, pin));
    if (how === "only") this.pins = [pin];
    else if (how === "move") this.pins = [...this.pins.slice(0, -1).filter((each) => !isSame(each, pin)), pin];
    else if (same.length) this.pins = this.pins.filter((each) => each !== same[0]);
    else this.pins = [...this.pins, pin].slice(-MOST_PINNED);
    this.redrawAll();
  }

  unpin() {
    const entry = this.shown.get(this.pins.length && keyOf(this.pins.at(-1).panel));
    this.pins = [];
    if (!entry) return;
    entry.chart.focus({ preventScroll: true });
    this.redrawAll();
  }

  redrawAll() {
    for (const entry of this.shown.values()) this.redraw(entry);
  }

  // Where pinned cells are on a panel that shows them, with their places among all.
  pinsOn(panel) {
    const found = this.pins.map((pin, order) => ({ pin, order, of: this.pins.length, place: panel.axes.map((axis) => axis.values.indexOf(pin.coordinates[axis.name])) }));
    return found.filter(({ pin, place }) => keyOf(pin.panel) === keyOf(panel) && !place.includes(-1));
  }

  pinnedPlace(panel) { return this.pinsOn(panel).at(-1)?.place ?? null; }

  // The ridge is that of the first axis, upwards, along the second.
  ridgeOf(panel) {
    const found = this.ridges.get(keyOf(panel)) ?? [];
    return found.find((each) => each.axes.join("\n") === panel.axes.map((axis) => axis.name).join("\n") && each.drawn.dots.length);
  }

  renewLegend() { showLegend(this.legend, this.document, (panel) => this.ridgeOf(panel)); }

  show(document) {
    this.document = { ...document, ranges: rangesOf(document.panels) };
    const names = document.panels.map(keyOf);
    if (names.join("\n") !== [...this.shown.keys()].join("\n")) this.build(document);
    for (const panel of document.panels) this.renew(this.shown.get(keyOf(panel)), panel);
    this.renewLegend();
    this.container.setAttribute("aria-busy", "false");
  }

  clear() {
    for (const entry of this.shown.values()) drop(entry.chart);
    this.shown.clear();
    this.tables?.replaceChildren();
    this.container.replaceChildren();
    this.legend.hidden = true;
  }

  build(document) {
    this.clear();
    for (const panel of document.panels) this.shown.set(keyOf(panel), this.makeEntry(panel));
    this.container.replaceChildren(...[...this.shown.values()].map((entry) => entry.node));
    this.tables?.append(...[...this.shown.values()].map((entry) => entry.details.element));
  }

  makeEntry(panel) {
    const chart = make("div", { class: "chart landscape", tabindex: "0", role: "application", "aria-roledescription": "landscape" });
    const summary = make("p");
    const entry = { chart, summary, cursor: null, listening: false };
    entry.node = make("div", { class: "panel" }, make("h3", {}, this.title(panel)), summary, chart);
    entry.details = lazyDetails(`The cells of ${this.title(panel)} as a table`, () => panelTable(entry.panel, this.document, this.title(panel)));
    chart.addEventListener("keydown", (event) => this.key(entry, event));
    chart.addEventListener("blur", () => { entry.cursor = null; this.redraw(entry); });
    return entry;
  }

  renewSummaries() {
    for (const entry of this.shown.values()) this.summarize(entry);
  }

  summarize(entry) {
    entry.summary.textContent = [summaryOf(entry.panel, this.document), ...this.tell(entry.panel)].join("; ");
  }

  async renew(entry, panel) {
    entry.panel = panel;
    this.summarize(entry);
    entry.chart.setAttribute("aria-label",
      `${this.title(panel)}: ${entry.summary.textContent}. Arrow keys move over the cells, Enter opens one.`);
    entry.details.renew();
    await this.redraw(entry);
    if (entry.listening) return;
    entry.listening = true;
    const placeOf = (event) => [event.points[0].pointIndex ?? event.points[0].pointNumber].flat();
    const isCell = (event) => entry.panel.axes.length === 1 || Array.isArray(event.points[0].pointIndex ?? event.points[0].pointNumber);
    entry.chart.on("plotly_click", (event) => { if (isCell(event)) this.choose(entry.panel, placeOf(event), event.event.shiftKey); });
    entry.chart.on("plotly_hover", (event) => { if (isCell(event)) this.point?.(entry.panel, placeOf(event)); });
  }

  redraw(entry) {
    const make = entry.panel.axes.length === 2 ? heatmap : curve;
    const marked = () => [...this.pinsOn(entry.panel), ...(entry.cursor ? [{ place: entry.cursor, of: 1 }] : [])];
    return draw(entry.chart, () => make(entry.panel, this.document, marked(), this.ridgeOf(entry.panel)));
  }

  key(entry, event) {
    const { panel } = entry;
    if (event.key === "Enter" && entry.cursor) {
      this.choose(panel, entry.cursor, event.shiftKey);
    } else if (event.key in MOVES && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const [up, right] = MOVES[event.key];
      const move = panel.axes.length === 2 ? [up, right] : [up + right];
      const here = entry.cursor ?? this.pinnedPlace(panel);
      const next = (here ?? bestPlace(panel)).map((each, k) => Math.min(Math.max(each + (here ? move[k] : 0), 0), panel.axes[k].values.length - 1));
      entry.cursor = next;
      this.redraw(entry);
      this.move?.(panel, next);
      this.announcer.textContent = cellText(panel, this.document, next).join(", ");
    } else {
      return;
    }
    event.preventDefault();
  }
}

// The ends of each axis over all panels that have it, by name and scale: equal axes are drawn over the same range.
function rangesOf(panels) {
  const ranges = new Map();
  for (const axis of panels.filter((panel) => panel.axes.length === 2).flatMap((panel) => panel.axes)) {
    const key = `${axis.name} ${axis.scale}`;
    const [low, high] = ranges.get(key) ?? [Infinity, -Infinity];
    ranges.set(key, [Math.min(low, axis.edges[0]), Math.max(high, axis.edges.at(-1))]);
  }
  return ranges;
}

function bestPlace(panel) {
  return panel.axes.map((axis) =>
    panel.best ? axis.values.indexOf(panel.best.coordinates[axis.name]) : Math.floor(axis.values.length / 2));
}

function summaryOf(panel, document) {
  const parts = [];
  if (panel.problem) {
    parts.push(panel.problem);
  } else if (panel.best) {
    const at = panel.axes.map((axis) => `${axis.symbol} = ${axisText(panel, axis.name, panel.best.coordinates[axis.name])}`);
    const which = isPartialPanel(panel) ? "best complete cell so far" : "best cell";
    const text = (value) => metricText(value, document.scale.percent);
    const unseen = panel.best.unseen === null ? "" : `, ${text(panel.best.unseen)} on unseen seeds`;
    const ends = panel.axes.filter((axis) => panel.best.edge.includes(axis.name)).map((axis) => axis.symbol);
    const edge = ends.length ? `, at the edge of ${ends.join(" and ")}` : "";
    parts.push(`${which} ${at.join(", ")}: ${text(panel.best.mean)}${unseen}${edge}`);
  } else {
    parts.push(panel.trials ? "no complete cell yet" : "no trials yet");
  }
  if (isPartialPanel(panel)) parts.push(`${count(panel.trials)} of ${count(panel.expected)} trials`);
  if (panel.early) parts.push(panel.early);
  if (panel.surrogate) parts.push(`a surrogate of ${count(panel.trials)} scattered trials`);
  const fixed = Object.entries(panel.fixed).map(([name, value]) => `${symbolOf(name)} = ${axisText(panel, name, value)}`);
  if (fixed.length) parts.push(`at ${fixed.join(", ")}`);
  return parts.join("; ");
}

function panelTable(panel, document, title) {
  const percent = document.scale?.percent ?? false;
  const text = (value, here) => {
    return make("span", isBest(panel, here) ? { class: "best-cell" } : {}, metricText(value, percent));
  };
  const [of, none] = panel.surrogate ? ["a surrogate", "too uncertain"] : [shownText(document, null), document.shown === "mean" ? "no trial" : "fewer than two"];
  const numbers = panel[document.shown];
  const caption = `${title}: ${words(document.metric)}, ${of}; ${panel.best ? "★ the best cell, " : ""}– ${none}`;
  const [up, across] = panel.axes;
  if (!across) {
    return makeTable(caption, [up.label, document.shown, "seeds"], up.values.map((value, i) =>
      [axisText(panel, up.name, value), text(numbers[i], [i]), String(panel.count[i])]));
  }
  return makeTable(caption, [`${up.symbol} \\ ${across.symbol}`, ...across.values.map((value) => axisText(panel, across.name, value))],
    up.values.map((value, i) => [axisText(panel, up.name, value), ...numbers[i].map((each, j) => text(each, [i, j]))]).reverse());
}

function showLegend(legend, document, ridgeOf) {
  const maps = document.panels.filter((panel) => panel.axes.length === 2);
  legend.hidden = !document.scale || !maps.length;
  if (legend.hidden) return;
  const clipped = [];
  const bar = make("div", { class: "scale" });
  bar.style.background = `linear-gradient(to right, ${document.colours.join(", ")})`;
  const clear = (tick, k, all) => k === 0 || k === all.length - 1 || (tick.at > 0.08 && tick.at < 0.9); // of the ends
  const ticks = document.scale.ticks.filter(clear).map((tick) => {
    const mark = make("span", { class: "tick" }, tick.text);
    mark.style.left = `${100 * tick.at}%`;
    mark.classList.toggle("near-end", (tick.at > 0 && tick.at < 0.18) || (tick.at > 0.8 && tick.at < 1)); // a phone has no room for it
    return mark;
  });
  if (document.scale.worst > document.scale.highest) clipped.push(`colours end at ${metricText(document.scale.highest, document.scale.percent)}: cells beyond, up to ${metricText(document.scale.worst, document.scale.percent)}, look the same`);
  const seeds = Math.max(...maps.map((panel) => panel.expected_seeds));
  const same = maps.every((panel) => panel.expected_seeds === seeds);
  const shown = shownText(document, same ? seeds : null);
  const name = `${words(document.metric)}${shown && ` (${shown})`}`;
  const [up, across] = maps[0].axes;
  const partial = maps.some(isPartialPanel);
  const key = maps.some((panel) => panel.best) ? [`★ best cell${partial ? ", hollow: so far" : ""}`] : [];
  const ridges = maps.map(ridgeOf).filter(Boolean);
  if (ridges.length) key.push(`● best ${up.symbol} for each ${across.symbol}, 95% interval, and the ridge through them`);
  if (ridges.some((each) => each.drawn.left_out.length)) key.push(`▲ ${across.symbol} that the ridge leaves out`);
  if (ridges.some((each) => each.transition)) key.push("┆ transition");
  if (document.scale.contours.length && maps.some((panel) => panel.best)) key.push(`white lines: best + ${document.scale.contours.map((each) => (document.scale.percent ? shortNumber(100 * each) : shortNumber(each))).join(", ")}${document.scale.percent ? " points" : ""}`);
  if (maps.some((panel) => panel.dead.flat().some(Boolean))) key.push("grey: every trial diverged");
  key.push(...clipped);
  if (maps.some((panel) => panel.early)) key.push("× stopped early: at least so good");
  const surrogate = maps.some((panel) => panel.surrogate);
  const missing = surrogate || partial;
  legend.replaceChildren(
    make("div", { class: "ends" }, make("span", {}, document.shown === "mean" ? "better" : "less"), make("span", {}, name), make("span", {}, document.shown === "mean" ? "worse" : "more")),
    bar, make("div", { class: "ticks" }, ...ticks),
    make("div", { class: "key" }, ...key.map((each) => make("span", {}, each)),
      missing ? make("span", {}, make("span", { class: "hatch", "aria-hidden": "true" }), surrogate ? " too uncertain" : " no trial yet") : null,
      missing && seeds > 1 ? make("span", {}, "╱ some seeds to come") : null));
}
