// Verdicts in words and badges: one a regime, with the values of the second axis for which it holds.

import { make } from "./dom.js";
import { interval, shortNumber } from "./format.js";

const SIGNS = { coupled: "↗", decoupled: "→", undecided: "?" };

export const verdictBadge = (verdict) =>
  make("span", { class: `badge ${verdict}` }, make("span", { "aria-hidden": "true" }, `${SIGNS[verdict]} `), verdict);

// How the pair's axes are called where it is drawn.
export const symbolsOf = (verdict) => verdict.drawn?.axes.map((axis) => axis.symbol) ?? verdict.axes;

// Whether trials of an optimizer are still to come; `optimizers` are those of a study's progress.
export const isPartial = (optimizers, name) => {
  const found = optimizers.find((each) => each.name === name);
  return Boolean(found && found.expected !== null && found.trials < found.expected);
};

// A badge for each regime, and where that is; one where there is no ridge.
export function regimeBadges(verdict, partial) {
  const second = symbolsOf(verdict)[1];
  const badges = verdict.regimes.map((regime, place) => {
    const where = verdict.transition && (place === 0 ? `${second} below ${shortNumber(regime.to)}` : `${second} above ${shortNumber(regime.from)}`);
    return [verdictBadge(regime.verdict), where];
  });
  if (!badges.length) badges.push([verdictBadge(verdict.verdict), null]);
  const nodes = badges.map(([badge, where]) => make("span", { class: "regime" }, badge, where && ` ${where}`));
  return [...nodes, ...(partial ? [make("span", { class: "badge so-far" }, "so far")] : [])];
}

// What it means, in one sentence.
export const plainSentence = (verdict, partial) => `${partial ? "So far: " : ""}${inWords(verdict)}`;

function inWords(verdict) {
  const [first, second] = symbolsOf(verdict);
  const pair = `${first} and ${second}`;
  const kinds = verdict.regimes.map((regime) => regime.verdict);
  const at = verdict.transition && shortNumber(verdict.transition.estimate);
  const where = (place) => `where ${second} is ${place === 0 ? "below" : "above"} ${at}`;
  if (verdict.verdict === "decoupled") return `${pair} can be tuned one at a time.`;
  if (verdict.verdict === "coupled") {
    if (!at || kinds.every((kind) => kind === "coupled")) return `${pair} have to be tuned together.`;
    const place = kinds.indexOf("coupled");
    const other = kinds[1 - place] === "decoupled" ? "elsewhere one at a time" : "elsewhere that is not decided";
    return `${pair} have to be tuned together ${where(place)}, ${other}.`;
  }
  const needed = verdict.seeds_to_decide > verdict.seeds ? `: about ${verdict.seeds_to_decide} seeds would decide it` : "";
  return `Whether ${pair} can be tuned one at a time is not decided${needed}.`;
}

// The slope in each regime with its interval.
export const slopes = (verdict) => verdict.regimes.map((regime) => interval(regime.slope)).join("; ");
