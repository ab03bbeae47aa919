// Plotly with one look for all charts: it follows the page's colours, also when the system turns dark.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map(); // chart -> how to draw it, to do so again in other colours
const TEXT = 12; // pixels, where the body's is 14
const POWERS = 11; // Plotly enlarges powers of ten by a quarter
const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false };

// Okabe and Ito's colours, told apart by colour-blind readers; dashes and marks differ too.
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#b0527f", "#8a6d00", "#3c3c3c"];
const DARK = ["#56b4e9", "#e69f00", "#3fc89b", "#dd9fc2", "#e6d84a", "#d0d0d0"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const MARKS = ["circle", "square", "diamond", "triangle-up", "x", "triangle-down"];

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function theme() {
  return { text: css("text"), muted: css("muted"), line: css("line"), back: css("back"), hatch: css("hatch"), dead: css("dead"), accent: css("accent") };
}

export function style(place) {
  const colours = dark.matches ? DARK : LIGHT;
  const other = place + Math.floor(place / colours.length); // colours that come again have other dashes and marks
  return { colour: colours[place % colours.length], dash: DASHES[other % DASHES.length], mark: MARKS[other % MARKS.length] };
}

// Text as it is: Plotly reads some tags.
export const plain = (text) => text.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);

export function axis(title, scale, more = {}) {
  const look = theme();
  return {
    title: { text: plain(title), standoff: 6, font: { size: TEXT } }, type: scale === "log" ? "log" : "linear", fixedrange: true,
    gridcolor: look.line, linecolor: look.line, zeroline: false, ticks: "outside", tickcolor: look.line,
    exponentformat: "power", dtick: scale === "log" ? null : undefined, tickfont: { size: scale === "log" ? POWERS : TEXT }, automargin: true, ...more,
  };
}

// Intervals of a ridge's dots, (second, first, low, high) each; a null end is not drawn.
export function dotErrors(dots, look) {
  const away = (k, sign) => dots.map((dot) => (dot[k] === null ? 0 : sign * (dot[k] - dot[1])));
  return { type: "data", symmetric: false, array: away(3, 1), arrayminus: away(2, -1), width: 3, ...look };
}

// The outline of a ridge's band, (second, low, high) each.
export function bandOutline(band) {
  const back = [...band].reverse();
  const outline = { x: [...band, ...back].map(([x]) => x), y: [...band.map((each) => each[1]), ...back.map((each) => each[2])] };
  return { type: "scatter", mode: "lines", fill: "toself", line: { width: 0 }, hoverinfo: "skip", ...outline };
}

// Of an ordered axis: its words at the ticks.
export const wordTicks = (words, values) => (words ? { tickvals: values, ticktext: values.map((value) => plain(words[value])) } : {});

// Of a metric: few enough ticks when a log axis covers little.
export function metricAxis(title, low, high, log, percent, more = {}) {
  const dtick = log && high < 300 * low ? "D2" : undefined;
  return axis(title, log ? "log" : "linear", { dtick, tickformat: percent ? ".2~%" : undefined, ...more });
}

// `make` returns { traces, layout } in the colours of the moment.
export async function draw(place, make) {
  drawn.set(place, make);
  const look = theme();
  const { traces, layout } = make();
  const whole = {
    margin: { l: 52, r: 8, t: 8, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: TEXT, color: look.text },
    hoverlabel: { bgcolor: look.back, bordercolor: look.line, font: { color: look.text }, align: "left" },
    showlegend: false, dragmode: false, ...layout,
  };
  await window.Plotly.react(place, traces, whole, CONFIG);
  for (const other of drawn.keys()) if (!other.isConnected) drop(other); // its part of the page was made anew
}

export function drop(place) {
  drawn.delete(place);
  window.Plotly.purge(place);
}

dark.addEventListener("change", () => {
  for (const [place, make] of drawn) if (place.isConnected) draw(place, make);
});
