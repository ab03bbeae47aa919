// Elements from text, never from markup: names of studies cannot become code.

export const byId = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Rows of texts or elements; the first of each row is its header.
export function makeTable(caption, head, rows, textColumns = []) {
  const kind = (place) => (textColumns.includes(place) ? "text" : null);
  const headers = head.map((each, place) => make("th", { scope: "col", class: kind(place) }, each));
  const body = rows.map((row) =>
    make("tr", {}, ...row.map((each, place) =>
      place === 0 ? make("th", { scope: "row" }, each) : make("td", { class: kind(place) }, each))));
  const table = make("table", {},
    make("caption", {}, caption), make("thead", {}, make("tr", {}, ...headers)), make("tbody", {}, ...body));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table);
}

// A table that is made when it is opened, and again when `renew` is called while it is open.
export function lazyDetails(summary, makeContent) {
  const content = make("div");
  const element = make("details", {}, make("summary", {}, summary), content);
  const renew = () => { if (element.open) content.replaceChildren(makeContent()); };
  element.addEventListener("toggle", renew);
  return { element, renew };
}

// Puts other content into a place; what was unfolded stays so, told by its order.
export function renewKeepingOpen(place, ...content) {
  const open = [...place.querySelectorAll("details")].map((each) => each.open);
  place.replaceChildren(...content);
  place.querySelectorAll("details").forEach((each, k) => { each.open = open[k] ?? false; });
}

// An error's text beside what caused it; null takes it away.
export function showProblem(place, error) {
  place.hidden = !error;
  place.textContent = error ? error.message : "";
}

export const problemText = (error) => make("p", { class: "problem", role: "alert" }, error.message);

// What is read, or null and the problem's text in its place.
export async function readInto(place, reading) {
  try {
    return await reading;
  } catch (error) {
    place.replaceChildren(problemText(error));
    return null;
  }
}

export function debounce(work, milliseconds) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}

// Runs work again when it was asked for meanwhile, never twice at once, and rests in between; an exception of it is told
// as if nobody had caught it, and ends nothing.
export function throttle(work, milliseconds) {
  let running = false;
  let wanted = false;
  return async function run() {
    wanted = true;
    if (running) return;
    running = true;
    while (wanted) {
      wanted = false;
      try {
        await work();
      } catch (error) {
        reportError(error);
      }
      await new Promise((done) => setTimeout(done, milliseconds));
    }
    running = false;
  };
}
