// Stop, resume, delete, and the job's log.

import { query, readJson, sendJson, studyUrl, voiding } from "./api.js";
import { byId, showProblem } from "./dom.js";

const study = byId("content").dataset.study;
const problem = byId("problem");
let ended = byId("stop").hidden;

export function showActions(document) {
  byId("stop").hidden = !["queued", "running"].includes(document.state);
  ended = !["queued", "running"].includes(document.state);
  byId("resume").hidden = !["stopped", "failed"].includes(document.state);
}

// Runs work once at a time for a button; a refusal is shown at `place`, the top of the page by default.
export async function act(button, work, place = problem) {
  button.disabled = true;
  showProblem(place, null);
  try {
    await work();
  } catch (error) {
    showProblem(place, error);
  }
  button.disabled = false;
}

byId("stop").addEventListener("click", (event) => act(event.target, () => sendJson("POST", studyUrl(study, "/stop"))));
byId("resume").addEventListener("click", (event) => act(event.target, () => sendJson("POST", studyUrl(study, "/resume"))));

const confirmName = byId("confirm-name");
byId("delete").addEventListener("click", () => {
  showProblem(problem, ended ? null : { message: `${study} is queued or running: stop it first, then delete it` });
  if (!ended) return;
  confirmName.value = "";
  byId("confirm-delete").disabled = true;
  showProblem(byId("confirm-problem"), null);
  byId("confirm").showModal();
});
confirmName.addEventListener("input", () => { byId("confirm-delete").disabled = confirmName.value !== study; });
byId("confirm-delete").addEventListener("click", async () => {
  try {
    await voiding(() => sendJson("DELETE", `${studyUrl(study)}?${query([["confirm", study]])}`));
    window.location.assign("/");
  } catch (error) {
    showProblem(byId("confirm-problem"), error);
  }
});

async function showLog() {
  const place = byId("log").querySelector("pre");
  const atEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 4; // else somebody reads further up
  let text;
  try {
    text = (await readJson(studyUrl(study, "/log"))).log || "nothing was written yet";
  } catch (error) {
    text = error.message;
  }
  if (text === place.textContent) return;
  place.textContent = text;
  if (atEnd) place.scrollTop = place.scrollHeight;
}

byId("log").addEventListener("toggle", () => { if (byId("log").open) showLog(); });
setInterval(() => { if (byId("log").open && !ended) showLog(); }, 3_000);
