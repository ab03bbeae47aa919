// The form of a new study: asks for the plan as it is filled in, shows refusals at their fields, and launches.

import { readJson, request, studyUrl } from "./api.js";
import { argumentField, argumentsIn, fillArguments } from "./arguments.js";
import { AxisRows } from "./axis-rows.js";
import { byId, debounce, make, showProblem, throttle } from "./dom.js";
import { count, duration } from "./format.js";

const PLAN_REST = 350;
const UNNAMED = "unnamed"; // what it would take is told before there is a name
const FIELDS = { // of keys of the study file
  name: "name", seeds: "seeds", "workload.steps": "steps", "workload.function": "function", "workload.command": "command", "workload.metric": "metric",
  "tuning.tuners": "tuners-label", "tuning.trials": "tuning-trials", "tuning.replicates": "tuning-replicates", "tuning.target": "tuning-target",
};
const CHOICES = await readJson("/api/v1/choices");
const [scheduleFields, decayFields] = [byId("schedule-name").closest(".arguments"), byId("decay-value").closest(".arguments")];
const axes = new AxisRows(byId("axes"), () => plan());

let tunes = false; // whether tuners are to be run afterwards, by the last plan

const checked = (name) => [...document.querySelectorAll(`input[name="${name}"]:checked`)].map((each) => each.value);
const choose = (name, value) => { document.querySelector(`input[name="${name}"][value="${value}"]`).checked = true; };
const number = (id) => (byId(id).value === "" ? null : Number(byId(id).value));

// "workload", or what stands in its place: "function" or "command". A service without --allow-imports offers no choice.
const training = () => checked("training")[0] ?? "workload";

// Optimizers of a function or command are labels.
const labels = () => byId("labels").value.split(",").map((each) => each.trim()).filter((each) => each !== "");

// A table of a study file, or nothing where all is at its default.
const table = (key, values) => (Object.keys(values).length ? { [key]: values } : {});

function trained() {
  const kind = training();
  if (kind === "workload") {
    const schedule = table("schedule", argumentsIn(scheduleFields));
    const more = { ...schedule, ...table("weight_decay", argumentsIn(decayFields)), ...(number("clip-norm") === null ? {} : { clip_norm: number("clip-norm") }) };
    const workload = { name: byId("workload").value, steps: number("steps"), ...more, ...argumentsIn(byId("settings")) };
    const optimizers = checked("optimizers").map((name) => {
      const given = argumentsIn(byId(`arguments-${name}`));
      return Object.keys(given).length ? { name, ...given } : name;
    });
    return { workload, optimizers };
  }
  const workload = { [kind]: byId(kind).value.trim(), metric: byId("metric").value.trim(), goal: byId("goal").value };
  return { workload, optimizers: labels() };
}

function specOfForm() {
  const spec = {
    name: byId("name").value.trim() || UNNAMED,
    ...trained(),
    space: checked("kind")[0] === "own" ? axes.table() : byId("space").value,
    seeds: number("seeds"),
  };
  if (byId("tune").checked) {
    spec.tuning = { tuners: checked("tuners"), trials: number("tuning-trials"), replicates: number("tuning-replicates"), target: number("tuning-target") };
  }
  return spec;
}

const body = () => (byId("edit").checked
  ? { body: byId("toml").value, headers: { "content-type": "application/toml" } }
  : { body: JSON.stringify(specOfForm()), headers: { "content-type": "application/json" } });

const askPlan = throttle(async () => {
  byId("plan").setAttribute("aria-busy", "true");
  byId("doing").textContent = "checking …";
  try {
    const found = await (await request("/api/v1/plan", { method: "POST", ...body() })).json();
    tunes = found.tunes;
    showErrors(null);
    showPlan(found);
    if (!byId("edit").checked) byId("toml").value = found.toml;
    byId("launch").disabled = found.name === UNNAMED;
  } catch (error) {
    showErrors(error);
    byId("plan").replaceChildren(make("p", { class: "hint" }, "What it would take is told when what is marked is right."));
    if (!byId("edit").checked) byId("toml").value = "";
  }
  byId("plan").setAttribute("aria-busy", "false");
  byId("doing").textContent = byId("name").value.trim() || byId("edit").checked ? "" : "give it a name to launch it";
}, 0);
const askPlanSoon = debounce(askPlan, PLAN_REST);

function plan() {
  byId("launch").disabled = true; // what is shown may be of what was there before
  askPlanSoon();
}

function showPlan(found) {
  const rows = [["trials", count(found.trials)], ["of them stored", count(found.stored)], ["to train", count(found.to_train)],
    ["blocks", `${count(found.blocks)}, of up to ${found.lanes} trials`], ["estimated time", `${found.estimated_seconds === null ? "not known yet" : `${duration(found.estimated_seconds)} on this machine`}`]];
  if (found.tunes) rows.push(["its tuners' part", duration(found.tuning_seconds)]);
  byId("plan").replaceChildren(make("dl", { class: "plan" }, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    ...[...found.notes, ...(found.tunes ? [TUNING_NOTE] : [])].map((note) => make("p", { class: "hint" }, note)));
}

const TUNING_NOTE = "Its tuners are run afterwards.";

// A problem with places goes to their fields, what belongs to none above the launch button.
function showErrors(error) {
  const places = new Map([...document.querySelectorAll("[data-problem]")].map((place) => [place.dataset.problem, place]));
  for (const [key, place] of places) {
    showProblem(place, null);
    markField(key, false);
  }
  showProblem(byId("problem"), null);
  if (!error) return;
  const left = [];
  for (const { location, detail } of error.errors) {
    const key = location.split(".")[0];
    const place = places.get(key);
    if (!place || byId("edit").checked) {
      left.push(detail);
      continue;
    }
    const said = inWords(location, detail);
    showProblem(place, { message: place.hidden ? said : `${place.textContent}; ${said}` });
    markField(key, true, byId(FIELDS[location]));
  }
  const rest = error.errors.length ? left.join("; ") : error.message;
  if (rest) showProblem(byId("problem"), { message: rest });
}

// A key of the study file that a text begins with, by the name that its field has here.
function inWords(location, detail) {
  const label = byId(FIELDS[location])?.labels[0]?.textContent ?? byId(FIELDS[location])?.textContent;
  return label && detail.startsWith(`${location} `) ? `${label} ${detail.slice(location.length + 1)}` : detail;
}

function markField(key, wrong, field) {
  const fields = [...document.querySelectorAll(`[data-key="${key}"] :is(input, select)`)];
  if (!wrong) for (const each of fields) each.setAttribute("aria-invalid", "false");
  else (field ?? fields.find((each) => each.offsetParent !== null))?.setAttribute("aria-invalid", "true");
}

// The fields of the workload's own settings, made anew for another workload.
function showSettings() {
  const [place, name] = [byId("settings"), byId("workload").value];
  if (place.dataset.of === name) return;
  place.dataset.of = name;
  place.replaceChildren(...Object.entries(CHOICES.workloads[name].arguments).map(([key, about]) => argumentField("setting", key, about)));
}

// Those of the chosen optimizers; what was filled in stays.
function showArguments() {
  const place = byId("arguments").querySelector("div");
  const chosen = checked("optimizers");
  for (const each of [...place.children]) if (!chosen.includes(each.dataset.optimizer)) each.remove();
  const there = [...place.children].map((each) => each.dataset.optimizer);
  for (const name of chosen.filter((each) => !there.includes(each))) {
    const fields = Object.entries(CHOICES.optimizers[name].arguments).map(([key, about]) => argumentField(name, key, about));
    place.append(make("fieldset", { "data-optimizer": name }, make("legend", {}, name), make("div", { class: "arguments", id: `arguments-${name}` }, ...fields)));
  }
  byId("arguments").hidden = !chosen.length;
}

const tableOf = (given, short) => (typeof given === "object" ? given : { [short]: given });

// Fills the form in from a study's spec; false when it says something that the form has no field for.
function fillForm({ workload: given, optimizers, space, seeds, tuning, ...others }) {
  const { name, steps = 400, schedule = {}, weight_decay = {}, clip_norm = null, ...settings } = tableOf(given, "name");
  const known = name in CHOICES.workloads;
  const tables = optimizers.map((each) => tableOf(each, "name"));
  if (!known || tables.some((each) => !(each.name in CHOICES.optimizers)) || new Set(tables.map((each) => each.name)).size < tables.length) return false;
  byId("workload").value = name;
  byId("steps").value = steps;
  byId("clip-norm").value = clip_norm ?? "";
  showSettings();
  for (const each of document.querySelectorAll('input[name="optimizers"]')) each.checked = tables.some((one) => one.name === each.value);
  showArguments();
  const filled = [
    fillArguments(scheduleFields, tableOf(schedule, "name")), fillArguments(decayFields, tableOf(weight_decay, "value")), fillArguments(byId("settings"), settings),
    ...tables.map(({ name: optimizer, ...rest }) => fillArguments(byId(`arguments-${optimizer}`), rest)),
  ];
  byId("training").open = Object.keys({ ...tableOf(schedule, "name"), ...tableOf(weight_decay, "value"), ...settings }).length > 0 || clip_norm !== null;
  byId("arguments").open = tables.some((each) => Object.keys(each).length > 1);
  byId("seeds").value = seeds;
  if (typeof space === "string") byId("space").value = space;
  else axes.replace(Object.entries(space).map(([axis, entry]) => ({ name: axis, scale: "log", ...(Array.isArray(entry) ? { values: entry } : entry) })));
  choose("kind", typeof space === "string" ? "published" : "own");
  const { tuners = Object.keys(CHOICES.tuners), trials, replicates, target, ...rest } = { ...CHOICES.tuning, ...tuning };
  byId("tune").checked = Boolean(tuning);
  for (const each of document.querySelectorAll('input[name="tuners"]')) each.checked = tuners.includes(each.value);
  Object.entries({ trials, replicates, target }).forEach(([key, value]) => { byId(`tuning-${key}`).value = value; });
  const listed = typeof space === "string" || Object.values(space).every((entry) => Array.isArray(entry) && entry.every((value) => typeof value === "number"));
  const usual = Object.entries(rest).every(([key, value]) => CHOICES.tuning[key] === value);
  return filled.every(Boolean) && listed && usual && !Object.keys(others).length;
}

// A new study from another one: the form filled in, or its file where the form cannot say it.
async function fillFrom(origin) {
  const { spec, toml } = await readJson(studyUrl(origin));
  const { name: _, ...given } = spec;
  byId("name").value = `${origin}-2`;
  const all = fillForm(given);
  byId("origin").textContent = `As ${origin}, under another name: what you change makes it another study.${all ? "" : " It says more than the form has fields for, so here is its file."}`;
  byId("origin").hidden = false;
  if (!all) {
    byId("edit").checked = true;
    byId("toml").value = toml.replace(/^name = .*$/m, `name = ${JSON.stringify(`${origin}-2`)}`);
    edit();
  }
}

async function launch() {
  byId("launch").disabled = true;
  byId("doing").textContent = "launching …"; // a cluster may have to start first
  try {
    const tune = tunes ? "?tune=true" : "";
    const study = await (await request(`/api/v1/studies${tune}`, { method: "POST", ...body() })).json();
    window.location.assign(`/studies/${encodeURIComponent(study.name)}`);
  } catch (error) {
    showErrors(error);
    byId("launch").disabled = false;
    byId("doing").textContent = "";
  }
}

function showTraining() {
  const kind = training();
  for (const each of document.querySelectorAll("[data-training]")) each.hidden = !each.dataset.training.split(" ").includes(kind);
  if (kind !== "workload") choose("kind", "own"); // published spaces are optimizers'
}

function showKind() {
  const own = checked("kind")[0] === "own";
  byId("own").hidden = !own;
  byId("published").hidden = own;
  if (own && !axes.count) axes.add({ name: "alpha", low: 0.001, high: 1, num: 7, scale: "log" });
  byId("space-about").textContent = byId("space").selectedOptions[0].dataset.about;
}

function showAll() {
  showTraining();
  showKind();
  showSettings();
  showArguments();
  byId("tuning").hidden = !byId("tune").checked;
}

function edit() {
  byId("toml").readOnly = !byId("edit").checked;
  byId("form-fields").disabled = byId("edit").checked;
}

function copySpace() {
  axes.replace(JSON.parse(byId("space").selectedOptions[0].dataset.axes));
  choose("kind", "own");
  showKind();
  plan();
}

byId("study").addEventListener("input", () => {
  showAll();
  plan();
});
byId("study").addEventListener("submit", (event) => event.preventDefault());
byId("add-axis").addEventListener("click", () => { axes.add({ name: "", low: "", high: "", num: "", scale: "log" }).focus(); plan(); });
byId("copy-space").addEventListener("click", copySpace);
byId("edit").addEventListener("change", () => { edit(); plan(); });
byId("toml").addEventListener("input", () => plan());
byId("launch").addEventListener("click", launch);
byId("copy").addEventListener("click", async () => {
  byId("toml").select();
  await navigator.clipboard?.writeText(byId("toml").value).catch(() => null);
  byId("copied").textContent = "copied";
});
byId("toml").addEventListener("beforeinput", () => { byId("copied").textContent = ""; });
showAll();
const origin = new URLSearchParams(window.location.search).get("from");
if (origin) await fillFrom(origin).catch((error) => showProblem(byId("problem"), error));
showAll();
plan();
