// Numbers as they are written on the pages; the same rules as study/service/pages/show.py.

export const shortNumber = (value) => (value === null || value === undefined ? "–" : digits(value, 3));

export const axisNumber = (value) => digits(value, 6);

// A value of one of a panel's axes: the word of an ordered one.
export const axisText = (panel, name, value) => panel.words[name]?.[value] ?? axisNumber(value);

function digits(value, most) {
  const rounded = Number(Number(value).toPrecision(most));
  return rounded !== 0 && Math.abs(rounded) < 1e-3 ? rounded.toExponential() : String(rounded);
}

export const count = (value) => (value === null || value === undefined ? "?" : value.toLocaleString("en-US"));

export function metricText(value, percent) {
  if (value === null || value === undefined) return "–";
  return percent ? `${shortNumber(100 * value)}%` : shortNumber(value);
}

export const isPercent = (metric, value) => metric.endsWith("error") && value >= 0 && value <= 1;

export const metricOf = (metric, value) => metricText(value, value !== null && isPercent(metric, value));

export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export const words = (name) => name.replaceAll("_", " ");

// An estimate with its 95% interval.
export function interval(each, show = shortNumber) {
  if (!each || each.estimate === null) return "–";
  return each.low === null ? show(each.estimate) : `${show(each.estimate)} [${show(each.low)}, ${show(each.high)}]`;
}
