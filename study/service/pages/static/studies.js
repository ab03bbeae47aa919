// The list of studies, kept up to date by events; verdicts are asked for when a study's trials changed.

import { query, readJson, request, studyUrl } from "./api.js";
import { byId, debounce, make, showProblem, throttle } from "./dom.js";
import { metricOf } from "./format.js";
import { listen } from "./live.js";
import { showProgress } from "./progress.js";
import { inSymbols } from "./symbols.js";
import { drawThumbnail } from "./thumbnail.js";
import { isPartial, regimeBadges, symbolsOf } from "./verdicts.js";

const judged = new Map(); // study -> trials when it was judged last
const latest = new Map();
const VERDICT_REST = 3_000;

const items = () => [...document.querySelectorAll("#studies > [data-study]")];
const itemOf = (name) => items().find((each) => each.dataset.study === name);

// The server renders the list; a study that came or went is a reason to ask for it again.
const renewList = throttle(async () => {
  try {
    const html = await (await request("/")).text();
    const fresh = new DOMParser().parseFromString(html, "text/html");
    byId("studies").replaceWith(document.adoptNode(fresh.getElementById("studies")));
    byId("none").hidden = items().length > 0;
    byId("find").hidden = !items().length;
    search();
    judged.clear();
    judgeAll();
  } catch (error) {
    showProblem(byId("problem"), error);
  }
}, 1_000);

const judgeAll = throttle(async () => {
  for (const [name, study] of latest) {
    const item = itemOf(name);
    if (!item || judged.get(name) === study.trials || study.trials === 0) continue;
    judged.set(name, study.trials);
    await showThumbnails(item.querySelector('[data-field="thumbnails"]'), name);
    await showVerdicts(item.querySelector('[data-field="verdicts"]'), name);
  }
}, VERDICT_REST);

async function showThumbnails(place, name) {
  try {
    const document = await readJson(`/api/v1/panels?${query([["study", name]])}`);
    place.replaceChildren(...document.panels.filter((panel) => panel.axes.length === 2 && !panel.problem).map((panel) => drawThumbnail(panel, document)));
  } catch {
    place.replaceChildren(); // the study's own page says why
  }
}

// Studies whose text has every word that is searched for.
function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of items()) item.hidden = !words.every((word) => item.textContent.toLowerCase().includes(word));
  byId("found").textContent = words.length ? `${items().filter((item) => !item.hidden).length} of ${items().length}` : "";
}

async function showVerdicts(place, name) {
  try {
    const found = await readJson(studyUrl(name, "/separability"));
    place.replaceChildren(...found.verdicts.map((each) => make("li", { title: inSymbols(each.sentence) },
      `${each.optimizer}, ${symbolsOf(each).join(" and ")}: `, ...regimeBadges(each, isPartial(latest.get(name)?.optimizers ?? [], each.optimizer)))));
  } catch {
    place.replaceChildren(); // no verdict yet: the study's own page says why
  }
}

byId("search").addEventListener("input", debounce(search, 100));
byId("find").addEventListener("submit", (event) => event.preventDefault());
listen(null, {
  study: (study) => {
    const item = itemOf(study.name);
    if (item) {
      showProgress(item, study);
      const places = [...item.querySelectorAll("[data-best]")];
      for (const { name, best, problem } of study.optimizers) {
        const place = places.find((each) => each.dataset.best === name);
        if (place) place.textContent = problem ?? metricOf(study.metric, best);
      }
    }
    if (!item || (latest.has(study.name) && latest.get(study.name).state !== study.state)) renewList();
    latest.set(study.name, study);
    judgeAll();
  },
  deleted: ({ name }) => {
    latest.delete(name);
    judged.delete(name);
    renewList();
  },
});
