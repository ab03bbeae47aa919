// Further seeds until something is decided: what that takes is told before it can be launched.

import { act } from "./actions.js";
import { query, readJson, sendJson, studyUrl } from "./api.js";
import { debounce, showProblem } from "./dom.js";
import { count, duration } from "./format.js";

const DECIDED = { separability: "the verdicts", cost: "which optimizer is cheaper" };

const time = (seconds) => (seconds === null ? "in a time that is not known yet" : `about ${duration(seconds)}`);

// What a price says in words.
export function priceText(price) {
  const most = `at most ${count(price.most)} further trials, ${time(price.most_seconds)} in all on this machine`;
  const spent = price.spent ? ` ${count(price.spent)} are stored already and count towards the budget.` : "";
  if (price.own) return `First the ${count(price.own)} trials that the study lacks; then ${most}.${spent}`;
  if (!price.step) return `No further trial is to come: it is decided, or asks for another grid, or the budget is too small for a seed more.${spent}`;
  return `Next ${count(price.step)} trials, ${time(price.step_seconds)}; ${most}.${spent}`;
}

export class Decision {
  constructor(element, study) {
    const [of, form] = [element.dataset.decide, element.querySelector("form")];
    Object.assign(this, { element, study, of, budget: form.querySelector("input"), button: form.querySelector("button") });
    [this.price, this.problem] = [element.querySelector("[role=status]"), element.querySelector("[role=alert]")];
    this.round = 0;
    element.addEventListener("toggle", () => this.read());
    this.budget.addEventListener("input", () => { this.button.disabled = true; });
    this.budget.addEventListener("input", debounce(() => this.read(), 400));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      act(this.button, () => sendJson("POST", studyUrl(study, `/decide?${this.asked()}`)), this.problem);
    });
  }

  asked() { return query([["of", this.of], ["budget", this.budget.value]]); }

  offer(wanted) {
    this.element.hidden = !wanted;
    if (wanted) this.read();
  }

  async read() {
    if (this.element.hidden || !this.element.open || !this.budget.checkValidity()) return;
    const mine = ++this.round;
    this.button.disabled = true;
    this.price.textContent = "computing what it takes …";
    showProblem(this.problem, null);
    try {
      const found = await readJson(studyUrl(this.study, `/decision?${this.asked()}`));
      if (mine !== this.round) return;
      this.price.textContent = priceText(found);
      this.button.disabled = !found.own && !found.step;
    } catch (error) {
      if (mine !== this.round) return;
      this.price.textContent = `${DECIDED[this.of]} cannot be decided`;
      showProblem(this.problem, error);
    }
  }
}
