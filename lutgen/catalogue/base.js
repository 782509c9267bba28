"use strict";

// What all parts of the page share: its data, elements, numbers, ticks of axes.

const DATA = JSON.parse(document.getElementById("catalogue-data").textContent);
const FIGURES = new Map(DATA.figures.map((figure) => [figure.key, figure]));

/** Make an element; text becomes text, never HTML. */
function element(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

/** Make an element of a drawing. */
function drawn(name, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function furnish(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** A choice: entries are [value, text]. */
function choice(label, entries, chosen, onchange) {
  const options = entries.map(([value, text]) =>
    element("option", { value, selected: value === chosen }, text));
  return element("label", {}, label, element("select", { onchange: (event) => onchange(event.target.value) }, ...options));
}

/** A box to tick. */
function tick(label, checked, onchange) {
  const box = element("input", { type: "checkbox", checked, onchange: (event) => onchange(event.target.checked) });
  return element("label", { class: "check" }, box, label);
}

function count(value) {
  return value.toLocaleString("en");
}

/** A figure for reading, with five significant digits. */
function number(value) {
  const size = Math.abs(value);
  if (Number.isInteger(value) || size >= 10000) return Math.round(value).toLocaleString("en");
  return size < 1e-3 ? value.toExponential(4) : String(Number(value.toPrecision(5)));
}

/** A figure's name with its unit; on an axis without the sign. */
function title(figure, onAxis = false) {
  const label = onAxis && figure.magnitude ? `|${figure.label}|` : figure.label;
  return figure.unit ? `${label} (${figure.unit})` : label;
}

function withUnit(value, figure) {
  return number(value) + (figure.unit ? ` ${figure.unit}` : "");
}

/** Round values between low and high: steps of 1, 2 or 5 times a power of ten. */
function linearTicks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high * (1 + 1e-9); index += 1) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

/** Powers of ten between low and high; with their 2 and 5 folds if there are few. */
function logTicks(low, high, wanted) {
  const ticks = [];
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const stride = Math.max(1, Math.ceil((last - first) / wanted));
  const factors = last - first <= 2 ? [1, 2, 5] : [1];
  for (let power = first; power <= last; power += stride) {
    for (const factor of factors) {
      const value = Number(`${factor}e${power}`);
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
    }
  }
  return ticks;
}

function tickText(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential().replace("e+", "e");
  return value.toLocaleString("en", { maximumSignificantDigits: 6 });
}
