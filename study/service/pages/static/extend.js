// More of a study: seeds, optimizers, values of the grid. It only grows, and what it takes is told before.

import { act } from "./actions.js";
import { readJson, sendJson, studyUrl } from "./api.js";
import { byId, debounce, make, showProblem } from "./dom.js";
import { count, duration } from "./format.js";

const numbers = (text) => text.split(/[\s,]+/).filter((each) => each !== "").map((each) => (Number.isFinite(Number(each)) ? Number(each) : each));

export class Extension {
  constructor(element, study) {
    Object.assign(this, { element, study, form: element.querySelector("form"), spec: null, round: 0 });
    this.button = this.form.querySelector("button");
    [this.price, this.problem] = [element.querySelector("[role=status]"), element.querySelector("[role=alert]")];
    element.addEventListener("toggle", () => { if (element.open) this.show().catch((error) => showProblem(this.problem, error)); });
    this.form.addEventListener("input", () => { this.button.disabled = true; });
    this.form.addEventListener("input", debounce(() => this.read(), 400));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      act(this.button, () => this.launch(), this.problem);
    });
  }

  // The fields, by what the study has now.
  async show() {
    const [details, choices] = await Promise.all([readJson(studyUrl(this.study)), readJson("/api/v1/choices")]);
    this.spec = details.spec;
    const there = details.optimizers.map((each) => each.name);
    const named = typeof this.spec.workload === "string" || this.spec.workload.name;
    byId("more-optimizers").replaceChildren(...Object.entries(choices.optimizers).filter(([name]) => named && !there.includes(name)).map(([name, { about }]) =>
      make("label", { title: about }, make("input", { type: "checkbox", name: "more-optimizer", value: name }), name)));
    byId("more-values").replaceChildren(...details.axes.filter((axis) => !axis.words.length).map(({ name, values }) =>
      make("div", {}, make("label", { for: `more-${name}` }, `Further values of ${name}`),
        make("input", { id: `more-${name}`, "data-axis": name, placeholder: `now ${values.length} from ${values[0]} to ${values.at(-1)}`, autocomplete: "off", spellcheck: "false" }))));
    this.values = Object.fromEntries(details.axes.map(({ name, values }) => [name, values]));
    this.price.textContent = "Add something: what it takes is told here before it is launched.";
    byId("more-tune").checked = details.tuning_runs > 0;
    if (byId("more-seeds").value !== byId("more-seeds").defaultValue) this.read(); // whoever was faster
  }

  // The study's spec, grown; the scale of an axis stays.
  grown() {
    const optimizers = [...this.form.querySelectorAll("[name=more-optimizer]:checked")].map((each) => each.value);
    const added = [...this.form.querySelectorAll("[data-axis]")].map((each) => [each.dataset.axis, numbers(each.value)]).filter(([, values]) => values.length);
    const space = added.length && typeof this.spec.space === "string" ? { ...this.values } : this.spec.space;
    const grown = added.map(([name, more]) => {
      const values = [...new Set([...this.values[name], ...more])];
      return [name, space[name].scale ? { values, scale: space[name].scale } : values];
    });
    const seeds = byId("more-seeds").value === "" ? null : Number(byId("more-seeds").value);
    return { ...this.spec, seeds, optimizers: [...this.spec.optimizers, ...optimizers], space: added.length ? { ...space, ...Object.fromEntries(grown) } : space };
  }

  get tunes() { return byId("more-tune").checked; }

  async read() {
    if (!this.spec) return;
    const mine = ++this.round;
    this.price.textContent = "computing what it takes …";
    showProblem(this.problem, null);
    if (!this.form.checkValidity()) {
      this.price.textContent = `A study only grows: give at least ${byId("more-seeds").min} seeds.`;
      return;
    }
    const grown = this.grown();
    try {
      const found = await sendJson("POST", "/api/v1/plan", this.tunes ? { tuning: {}, ...grown } : (({ tuning: _, ...rest }) => rest)(grown));
      if (mine !== this.round) return;
      const seconds = found.estimated_seconds;
      this.price.textContent = `${count(found.to_train)} further trials, ${count(found.trials)} in all${seconds === null ? "" : `; about ${duration(seconds)} on this machine${this.tunes ? ", tuners with it" : ""}`}.`;
      this.button.disabled = !found.to_train;
    } catch (error) {
      if (mine !== this.round) return;
      this.price.textContent = "";
      showProblem(this.problem, error);
    }
  }

  async launch() {
    await sendJson("POST", `/api/v1/studies${this.tunes ? "?tune=true" : ""}`, this.grown());
    window.location.reload();
  }
}
