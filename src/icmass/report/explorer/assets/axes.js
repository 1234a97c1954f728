// Scales, ticks and numbers as text.

const SVG = "http://www.w3.org/2000/svg";
const LN_1E14 = 14 * Math.LN10;
const MSUN = "10¹⁴ Msun/h";

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

function power(p) {
  return "10" + [...String(p)].map((c) => SUPERSCRIPT[c]).join("");
}

// A number with a few digits, as people write it.
function number(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) {
    const p = Math.floor(Math.log10(size));
    const factor = Number((value / 10 ** p).toPrecision(digits));
    return factor === 1 ? power(p) : `${minus(factor)} × ${power(p)}`;
  }
  if (size >= 1000) return minus(Math.round(value).toLocaleString("en-US"));
  return minus(Number(value.toPrecision(digits)));
}

// A mass in 10^14 Msun/h, with decimals that stand under each other.
function decimals(value) {
  return value >= 1000 || value < 0.005 ? number(value) : value.toFixed(value < 10 ? 2 : 1);
}

// A number with its unit.
function withUnit(value, unit, digits = 3) {
  const text = number(value, digits);
  if (!unit || unit === "photons") return text;
  return unit.startsWith("10") ? `${text} × ${unit}` : `${text} ${unit}`;
}

function minus(value) {
  return String(value).replace("-", "−");
}

function signed(value, digits) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : "+") + text;
}

// The ends of an axis: of what is finite (and positive on a log axis), a few outliers aside.
function extent(values, log, keep = null) {
  const good = [];
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i]) && (!log || values[i] > 0) && (!keep || keep[i])) good.push(values[i]);
  }
  if (!good.length) return log ? [1, 10] : [0, 1];
  good.sort((a, b) => a - b);
  let low = good[0];
  let high = good[good.length - 1];
  if (low === high) return log ? [low / 2, high * 2] : [low - 1, high + 1];
  if (log) {
    const pad = (high / low) ** 0.04;
    return [low / pad, high * pad];
  }
  const pad = 0.04 * (high - low);
  return [low - pad, high + pad];
}

// A scale between values and pixels: { at(value), back(pixel), ticks }.
function scale(limits, pixels, log) {
  const [a, b] = log ? limits.map(Math.log10) : limits;
  const [p, q] = pixels;
  const of = log ? Math.log10 : (v) => v;
  const at = (value) => p + ((of(value) - a) / (b - a)) * (q - p);
  const back = (pixel) => {
    const v = a + ((pixel - p) / (q - p)) * (b - a);
    return log ? 10 ** v : v;
  };
  const room = Math.max(2, Math.floor(Math.abs(q - p) / (q < p ? 38 : 62))); // up an axis there is more
  return { at, back, ticks: log ? logTicks(limits, room) : evenTicks(limits, room), limits, log };
}

function evenTicks([low, high], room) {
  const raw = (high - low) / room;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = size * [1, 2, 5, 10].find((f) => f * size >= raw * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    const value = k * step;
    const text = Math.abs(value) >= 1e5 ? number(value) : minus(Number(value.toFixed(digits)));
    ticks.push({ value, text });
  }
  return ticks;
}

function logTicks([low, high], room) {
  const ticks = [];
  const decades = Math.log10(high / low);
  const subs = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1, 3], [1]].find((s) => s.length * decades <= room * 1.25) || [1];
  const every = Math.max(1, Math.ceil(decades / Math.max(room, 1)));
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
    if (subs.length === 1 && p % every) continue;
    for (const s of subs) {
      const value = s * 10 ** p;
      if (value < low * 0.9999 || value > high * 1.0001) continue;
      const plain = p >= -3 && p <= 3;
      ticks.push({ value, text: plain ? minus(Number(value.toPrecision(2))) : s === 1 ? power(p) : `${s}×${power(p)}` });
    }
  }
  return ticks.length > 1 ? ticks : evenTicks([low, high], room);
}

// Median, 16th and 84th percentile of y in bins of x with as many points each.
function runningQuantiles(x, y, keep, bins) {
  const pairs = [];
  for (let i = 0; i < x.length; i++) {
    if (keep[i] && Number.isFinite(x[i]) && Number.isFinite(y[i])) pairs.push([x[i], y[i]]);
  }
  pairs.sort((a, b) => a[0] - b[0]);
  const found = [];
  if (pairs.length < 20 * 2) return found;
  const n = Math.min(bins, Math.floor(pairs.length / 20));
  for (let k = 0; k < n; k++) {
    const some = pairs.slice(Math.floor((k * pairs.length) / n), Math.floor(((k + 1) * pairs.length) / n));
    const values = some.map((pair) => pair[1]).sort((a, b) => a - b);
    const at = (level) => values[Math.round(level * (values.length - 1))];
    found.push({ x: some[Math.floor(some.length / 2)][0], low: at(0.16), middle: at(0.5), high: at(0.84) });
  }
  return found;
}
