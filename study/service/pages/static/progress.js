// A study's state, bar and numbers, where the page has fields for them.

import { count, duration } from "./format.js";
import { make } from "./dom.js";

const SIGNS = { queued: "◷", running: "▶", done: "✓", failed: "✗", stopped: "■" };

export function showProgress(place, study) {
  const field = (name) => place.querySelector(`[data-field="${name}"]`);
  const state = field("state");
  state.className = `state ${study.state}`;
  state.replaceChildren(make("span", { "aria-hidden": "true" }, SIGNS[study.state]), ` ${study.stopping ? "stopping" : study.state}`);
  field("bar").hidden = study.state === "done";
  field("bar").max = study.expected ?? (study.trials || 1);
  field("bar").value = study.trials;
  field("trials").textContent = count(study.trials);
  field("expected").textContent = study.expected === null ? "" : ` of ${count(study.expected)}`;
  field("eta").textContent = study.eta_seconds === null ? "" : `, ${duration(study.eta_seconds)} left`;
  field("message").textContent = study.message ?? "";
}
