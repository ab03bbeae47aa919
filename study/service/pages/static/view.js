// Which landscape is shown: two axes, where the others are, means, their spread or one seed, and after how many steps of
// training. The address holds it.

import { debounce, make } from "./dom.js";
import { axisText, count } from "./format.js";
import { symbolOf } from "./symbols.js";

const REST = 200;

export class View {
  // `asked`: what the address says; `changed` is called when something else is chosen.
  constructor(form, asked, changed) {
    Object.assign(this, { form, changed, offered: null });
    this.axes = asked.getAll("axis");
    this.held = new Map(asked.getAll("hold").map((each) => [each.slice(0, each.indexOf("=")), each.slice(each.indexOf("=") + 1)]));
    [this.shown, this.seed, this.step] = ["shown", "seed", "step"].map((name) => asked.get(name) ?? "");
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  // What is not as it is when nothing is chosen; `held` is how the others' values are called.
  pairs(held = "hold") {
    return [
      ...this.axes.map((name) => ["axis", name]), ...[...this.held].map(([name, value]) => [held, `${name}=${value}`]),
      ["shown", this.shown], ["seed", this.seed], ["step", this.step],
    ];
  }

  // The same for verdicts, which are of all seeds.
  verdictPairs() {
    return [["axes", this.axes.join(",")], ...[...this.held].map(([name, value]) => ["at", `${name}=${value}`]), ["step", this.step]];
  }

  // The same for figures, which show means.
  figurePairs() { return [...this.verdictPairs(), ["where", this.seed && `seed = ${this.seed}`]]; }

  // What of it verdicts follow, in words: "beta1 = 0.9, after 40 steps"; nothing where they are of all trials at their end.
  verdictText() {
    const held = [...this.held].map(([name, value]) => `${symbolOf(name)} = ${value}`);
    return [...held, ...(this.step ? [`after ${count(Number(this.step))} ${this.step === "1" ? "step" : "steps"}`] : [])].join(", ");
  }

  // Whether ridges, which are of means over seeds, belong on it.
  get isOfMeans() { return !this.shown && !this.seed; }

  choose(changes) {
    Object.assign(this, changes);
    this.changed();
  }

  // Controls for what a document of panels lets choose from.
  offer(document) {
    const [panel] = document.panels;
    const shown = panel.axes.map((axis) => axis.name);
    const offered = JSON.stringify([document.axes, panel.levels, shown, document.seeds, document.steps, panel.expected_seeds]);
    if (offered === this.offered) return;
    this.offered = offered;
    const fields = [
      ...(document.axes.length > 2 ? [...this.axisFields(document.axes, shown), ...this.heldFields(document.axes.filter((name) => !shown.includes(name)), panel)] : []),
      ...(document.seeds.length > 1 ? [this.shownField(document.seeds)] : []),
      ...(document.steps.length > 1 ? [this.stepField(document.steps)] : []),
    ];
    const focused = this.form.contains(window.document.activeElement) ? window.document.activeElement.id : null;
    this.form.replaceChildren(...fields.map(([label, ...nodes]) => make("span", { class: "labelled" }, make("label", { for: nodes[0].id }, label), ...nodes)));
    this.form.hidden = !fields.length;
    if (focused) window.document.getElementById(focused)?.focus({ preventScroll: true });
  }

  axisFields(names, shown) {
    const selects = ["up", "across"].map((side, k) => select(`axis-${side}`, names.map((name) => [name, symbolOf(name)]), shown[k], (name) => {
      const axes = selects.map((each) => each.value);
      if (axes[0] === axes[1]) axes[1 - k] = shown[k] === name ? names.find((each) => each !== name) : shown[k];
      this.choose({ axes, held: new Map([...this.held].filter(([each]) => !axes.includes(each))) });
    }));
    return [["Upwards", selects[0]], ["across", selects[1]]];
  }

  heldFields(names, panel) {
    const hold = (name, value) => this.choose({ held: new Map([...[...this.held].filter(([each]) => each !== name), ...(value === "" ? [] : [[name, value]])]) });
    return names.filter((name) => panel.levels[name]?.length !== 1).map((name) => {
      const id = `hold-${name}`;
      const held = this.held.get(name) ?? "";
      if (panel.levels[name]) {
        const levels = panel.levels[name].map((value) => [panel.words[name]?.[value] ?? String(value), axisText(panel, name, value)]);
        return [symbolOf(name), select(id, [["", "at its best"], ...levels], held, (value) => hold(name, value))];
      }
      const input = make("input", { id, type: "number", step: "any", value: held, placeholder: "best" });
      input.addEventListener("change", () => { if (input.checkValidity()) hold(name, input.value); });
      return [symbolOf(name), input];
    });
  }

  shownField(seeds) {
    const options = [["", "mean over seeds"], ["spread", "standard deviation over seeds"], ...seeds.map((seed) => [String(seed), `seed ${seed}`])];
    return ["Show", select("shown", options, this.shown || this.seed, (value) => this.choose(value === "spread" ? { shown: value, seed: "" } : { shown: "", seed: value }))];
  }

  // The last of the steps is the end of training.
  stepField(steps) {
    const last = steps.length - 1;
    const place = this.step === "" ? last : Math.max(0, steps.findLastIndex((each) => each <= Number(this.step)));
    const slider = make("input", { id: "step", type: "range", min: 0, max: last, value: place });
    const said = make("output", { for: "step", class: "numbers" });
    const say = () => {
      said.textContent = Number(slider.value) === last ? "the end of training" : `${count(steps[slider.value])} ${steps[slider.value] === 1 ? "step" : "steps"}`;
      slider.setAttribute("aria-valuetext", said.textContent);
    };
    const chosen = debounce(() => this.choose({ step: Number(slider.value) === last ? "" : String(steps[slider.value]) }), REST);
    slider.addEventListener("input", () => { say(); chosen(); });
    say();
    return ["After", slider, said];
  }
}

function select(id, options, chosen, changed) {
  const node = make("select", { id }, ...options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  node.addEventListener("change", () => changed(node.value));
  return node;
}

// What is drawn, in words: "standard deviation of 3 seeds, after 200 steps".
export function shownText({ shown, seed, step }, seeds) {
  const over = seeds ? `of ${seeds} seeds` : "over seeds";
  const what = seed !== null ? [`seed ${seed}`] : shown === "spread" ? [`standard deviation ${over}`] : seeds === 1 ? [] : [`mean ${over}`];
  return [...what, ...(step === null ? [] : [`after ${count(step)} ${step === 1 ? "step" : "steps"}`])].join(", ");
}
