// Trials that failed: how many, and when unfolded why each did and what it wrote last.

import { query, readJson, studyUrl } from "./api.js";
import { make, readInto, renewKeepingOpen, throttle } from "./dom.js";
import { axisNumber, count } from "./format.js";

const MOST = 100;
const REST = 1_000;

export class Failures {
  constructor(element, study) {
    Object.assign(this, { element, study, place: element.querySelector("div"), shown: null, last: null, failed: 0 });
    this.read = throttle(() => this.readNow(), REST);
    element.addEventListener("toggle", () => this.renew());
  }

  show(document) {
    this.element.hidden = !document.failed;
    this.element.querySelector("summary").textContent = `${count(document.failed)} ${document.failed === 1 ? "trial" : "trials"} failed`;
    this.failed = document.failed;
    this.last = `${document.failed} ${document.last_failed}`;
    this.renew();
  }

  renew() {
    if (this.element.open && !this.element.hidden && this.shown !== this.last) this.read();
  }

  async readNow() {
    const asked = this.last;
    const found = await readInto(this.place, readJson(`${studyUrl(this.study, "/failures")}?${query([["limit", MOST]])}`));
    if (!found) return;
    this.shown = asked;
    const left = Math.max(this.failed - found.failures.length, 0);
    renewKeepingOpen(this.place, make("p", { class: "hint" }, "The study tries them again when it is resumed."), ...found.failures.map(failureNode),
      left ? make("p", { class: "hint" }, `and ${count(left)} more: tunability failures ${this.study} lists all`) : "");
  }
}

function failureNode({ optimizer, cell, seed, failed_at, reason, lines }) {
  const at = Object.entries(cell).map(([name, value]) => `${name} = ${typeof value === "number" ? axisNumber(value) : value}`);
  const title = `${[optimizer, ...at, `seed ${seed}`].join(", ")}: ${reason}`;
  const when = make("p", { class: "hint" }, new Date(failed_at).toLocaleString());
  return make("details", {}, make("summary", {}, title), when, lines ? make("pre", { tabindex: "0" }, lines) : "");
}
