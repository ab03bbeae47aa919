// Fields for named arguments, by what the API says of them; one that is left empty is at its default.

import { make } from "./dom.js";

// `about` as the API has an argument.
export function argumentField(prefix, name, about) {
  const id = `${prefix}-${name}`;
  const shared = { id, "data-argument": name, "data-kind": about.kind };
  const field = ["flag", "choice"].includes(about.kind) ? choiceField(shared, about) : make("input", {
    ...shared, placeholder: show(about.default), type: ["number", "whole"].includes(about.kind) ? "number" : "text",
    step: about.kind === "whole" ? 1 : "any", min: about.low, max: about.high, autocomplete: "off", spellcheck: "false",
  });
  return make("div", { title: about.about || null }, make("label", { for: id }, name), field);
}

function choiceField(shared, { kind, choices, default: byDefault }) {
  const others = (kind === "flag" ? [false, true] : choices).filter((each) => each !== byDefault);
  return make("select", shared, make("option", { value: "" }, show(byDefault)), ...others.map((each) => make("option", { value: JSON.stringify(each) }, show(each))));
}

const show = (value) => (value === null ? "none" : Array.isArray(value) ? value.join(", ") : String(value));

const fieldsOf = (place) => [...place.querySelectorAll("[data-argument]")];

// What no number is stays text, for the service to refuse by name.
function parse(kind, text) {
  const number = (each) => (each.trim() !== "" && Number.isFinite(Number(each)) ? Number(each) : each);
  if (kind === "numbers") return text.split(/[\s,]+/).filter((each) => each !== "").map(number);
  if (kind === "number" || kind === "whole") return number(text);
  if (kind === "flag" || kind === "choice") return JSON.parse(text);
  return text;
}

export const argumentsIn = (place) =>
  Object.fromEntries(fieldsOf(place).filter((each) => each.value.trim() !== "").map((each) => [each.dataset.argument, parse(each.dataset.kind, each.value)]));

// Fills fields in; false when an argument has none, or one that does not take its value.
export function fillArguments(place, values) {
  const fields = new Map(fieldsOf(place).map((each) => [each.dataset.argument, each]));
  for (const each of fields.values()) each.value = "";
  return Object.entries(values).map(([name, value]) => {
    const field = fields.get(name);
    if (!field) return false;
    const text = Array.isArray(value) ? value.join(", ") : ["flag", "choice"].includes(field.dataset.kind) ? JSON.stringify(value) : String(value);
    if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === text)) return field.options[0].textContent === show(value);
    field.value = text;
    return true;
  }).every(Boolean);
}
