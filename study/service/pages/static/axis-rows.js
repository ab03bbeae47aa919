// Rows of a form that describe axes: a name with either values or low, high, how many and the scale.

import { make } from "./dom.js";

export class AxisRows {
  constructor(place, changed) {
    Object.assign(this, { place, changed, serial: 0 });
  }

  get count() { return this.place.childElementCount; }

  // Adds a row and gives its first field; an axis has `values`, or low, high, num and scale.
  add(axis) {
    const serial = ++this.serial;
    const field = (key, label, attributes = {}) => make("div", { class: attributes.class }, make("label", { for: `${key}-${serial}` }, label),
      make("input", { id: `${key}-${serial}`, "data-part": key, value: axis[key] ?? "", autocomplete: "off", spellcheck: "false", ...attributes, class: null }));
    const scale = make("select", { id: `scale-${serial}`, "data-part": "scale" },
      ...["log", "linear"].map((each) => make("option", { selected: each === axis.scale }, each)));
    const remove = make("button", { type: "button" }, "Remove");
    const row = make("div", { class: "axis-row", role: "group", "aria-label": `Axis ${serial}` },
      field("name", "Axis"), field("low", "Low", { inputmode: "decimal" }), field("high", "High", { inputmode: "decimal" }),
      field("num", "How many", { inputmode: "numeric" }), make("div", {}, make("label", { for: `scale-${serial}` }, "Scale"), scale),
      field("values", "or the values themselves", { class: "wide", placeholder: "0.001, 0.01, 0.1" }), remove);
    remove.addEventListener("click", () => { row.remove(); this.changed(); });
    this.place.append(row);
    return row.querySelector("input");
  }

  replace(axes) {
    this.place.replaceChildren();
    for (const axis of axes) this.add({ ...axis, values: axis.values?.join(", ") });
  }

  // The space as a study file has it; what is no number stays text, for the service to refuse by name.
  table() {
    const number = (text) => (text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text);
    const rows = [...this.place.children].map((row) => {
      const part = (key) => row.querySelector(`[data-part="${key}"]`).value.trim();
      const values = part("values").split(/[\s,]+/).filter((each) => each !== "");
      const range = { low: number(part("low")), high: number(part("high")), num: number(part("num")), scale: part("scale") };
      return [part("name"), values.length ? values.map(number) : range];
    });
    return Object.fromEntries(rows);
  }
}
