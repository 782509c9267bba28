// Scatter plots of two figures, with the Pareto front as a staircase and as a list.

const EVERY_KIND = "*";

/** Those of [x, y] points that no other one dominates, as indices by x, then y; see pareto.py. */
function paretoFront(points) {
  const order = points.map((_, index) => index)
    .sort((p, q) => points[p][0] - points[q][0] || points[p][1] - points[q][1] || p - q);
  const front = [];
  for (const index of order) {
    const last = points[front.at(-1)];
    const [x, y] = points[index];
    if (last === undefined || y < last[1] || (x === last[0] && y === last[1])) front.push(index);
  }
  return front;
}

/** The range of a linear axis: from 0, unless all values lie far from it. */
function linearSpan(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const room = (most - least) * 0.06 || most * 0.1 || 1;
  return [least < 0.4 * most || least === most ? 0 : least - room, most + room];
}

/** Maps values onto start..end; on a logarithmic axis 0 has a place of its own before the rest. */
function makeAxis(values, logarithmic, start, end) {
  const positive = values.filter((value) => value > 0);
  const gap = Math.sign(end - start) * 26;
  const broken = logarithmic && positive.length < values.length;
  const from = broken ? start + gap : start;
  let [low, high] = linearSpan(values);
  if (logarithmic) {
    low = (positive.length ? Math.min(...positive) : 1) / 1.3;
    high = (positive.length ? Math.max(...positive) : 10) * 1.3;
  }
  const bend = logarithmic ? Math.log10 : (value) => value;
  const place = (value) => {
    if (broken && value === 0) return start + gap / 3;
    return from + ((bend(value) - bend(low)) / (bend(high) - bend(low))) * (end - from);
  };
  // Text needs more room along the horizontal axis than up the vertical one.
  const wanted = Math.max(2, Math.floor(Math.abs(end - from) / (end > start ? 70 : 40)));
  const ticks = logarithmic ? logTicks(low, high, wanted) : linearTicks(low, high, wanted);
  return { place, ticks: broken ? [0, ...ticks] : ticks, breakAt: broken ? start + gap * 0.75 : null };
}

class Scatter {
  constructor(section, plot) {
    this.section = section;
    this.canvas = section.querySelector(".canvas");
    this.listing = section.querySelector(".listing");
    this.tip = element("div", { class: "tip", hidden: true });
    this.x = plot.x;
    this.y = plot.y;
    this.logX = false;
    this.logY = true;
    this.kind = plot.kind;
    this.library = plot.library;
    this.current = 0;
    this.controls();
    this.draw();
    Table.onChange(() => this.draw());
    let width = this.canvas.clientWidth;
    new ResizeObserver(() => {
      if (this.canvas.clientWidth !== width) {
        width = this.canvas.clientWidth;
        this.draw();
      }
    }).observe(this.canvas);
  }

  controls() {
    const figures = DATA.figures.map((figure) => [figure.key, title(figure, true)]);
    const set = (name) => (value) => { this[name] = value; this.draw(); };
    const kinds = [...Table.kinds().map((kind) => [kind, kind]), [EVERY_KIND, "all (not comparable)"]];
    const box = this.section.querySelector(".controls");
    box.append(
      choice("x axis", figures, this.x, set("x")),
      tick("logarithmic", this.logX, set("logX")),
      choice("y axis", figures, this.y, set("y")),
      tick("logarithmic", this.logY, set("logY")),
      choice("operands", kinds, this.kind, set("kind")),
    );
    const libraries = new Map(DATA.designs.filter((design) => design.library)
      .map((design) => [design.library, `${design.library_name} ${design.library.slice(0, 8)}`]));
    if (libraries.size > 1) box.append(choice("cell library", [...libraries], this.library, set("library")));
  }

  /** Sort the designs shown in the table into points and those left out, with the reason. */
  sort() {
    const cost = [this.x, this.y].some((key) => FIGURES.get(key).group === "cost");
    const found = { points: [], missing: [], others: 0 };
    for (const index of Table.shown()) {
      const design = DATA.designs[index];
      const lacking = [this.x, this.y].find((key) => (design.values[key] ?? null) === null);
      if (this.kind !== EVERY_KIND && design.kind !== this.kind) found.others += 1;
      else if (lacking !== undefined) {
        const reason = design.reasons[lacking] ?? "not in the record";
        found.missing.push(`${design.name}: no ${FIGURES.get(lacking).label} (${reason})`);
      } else if (cost && design.library !== this.library) {
        found.missing.push(`${design.name}: its cost is from another cell library (${design.library_name})`);
      } else {
        const at = [this.x, this.y].map((key) => Math.abs(design.values[key]));
        found.points.push({ index, design, at });
      }
    }
    return found;
  }

  draw() {
    const found = this.sort();
    const front = paretoFront(found.points.map((point) => point.at)).map((index) => found.points[index]);
    front.forEach((point, rank) => { point.rank = rank + 1; });
    this.front = front;
    this.list(found, front);
    this.tip.hidden = true;
    if (found.points.length === 0) {
      this.canvas.replaceChildren(element("p", {}, "None of the designs shown has both figures."));
      return;
    }
    this.canvas.replaceChildren(this.picture(found.points, front), this.tip);
  }

  picture(points, front) {
    const width = Math.max(280, this.canvas.clientWidth || 600);
    const height = Math.round(Math.min(400, Math.max(260, width * 0.65)));
    const box = { left: 62, right: width - 16, top: 14, bottom: height - 46 };
    const xAxis = makeAxis(points.map((point) => point.at[0]), this.logX, box.left, box.right);
    const yAxis = makeAxis(points.map((point) => point.at[1]), this.logY, box.bottom, box.top);
    const names = [title(FIGURES.get(this.x), true), title(FIGURES.get(this.y), true)];
    const svg = drawn("svg", {
      viewBox: `0 0 ${width} ${height}`,
      role: "group",
      "aria-label": `${points.length} designs by ${names[0]} and ${names[1]}; arrow keys go from point to point`,
    });
    svg.append(...frame(box, xAxis, yAxis, names));
    svg.append(drawn("path", { class: "front-line", d: staircase(front, xAxis, yAxis, box) }));
    const ordered = [...points].sort((p, q) => p.at[0] - q.at[0] || p.at[1] - q.at[1]);
    const marks = ordered.map((point) => this.mark(point, xAxis.place(point.at[0]), yAxis.place(point.at[1]), box));
    this.current = Math.min(this.current, marks.length - 1);
    marks[this.current].setAttribute("tabindex", 0);
    svg.addEventListener("keydown", (event) => this.walk(event, marks));
    // The front is drawn last, over the others; the order of the keys stays that of the axis.
    svg.append(...marks.filter((mark) => !mark.matches(".front")), ...marks.filter((mark) => mark.matches(".front")));
    return svg;
  }

  mark(point, x, y, box) {
    const onFront = point.rank !== undefined;
    const values = [this.x, this.y].map((key) => `${FIGURES.get(key).label} ${withUnit(point.design.values[key], FIGURES.get(key))}`);
    const lines = [point.design.name, ...values, onFront ? `on the front, number ${point.rank}` : "not on the front"];
    const shape = onFront ? "M0-6L6 0L0 6L-6 0Z" : "M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0Z";
    const show = () => this.hint(lines, x, y, box);
    const group = drawn("g", {
      class: onFront ? "point front" : "point",
      transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
      tabindex: -1,
      role: "link",
      "aria-label": lines.join(", "),
      onpointerenter: show,
      onpointerleave: () => { this.tip.hidden = true; },
      onfocus: show,
      onblur: () => { this.tip.hidden = true; },
      onclick: () => openDesign(point.design),
    }, drawn("circle", { class: "reach", r: 10 }), drawn("circle", { class: "ring", r: 9 }), drawn("path", { d: shape }));
    if (onFront) group.append(drawn("text", { x: 6, y: -6 }, String(point.rank)));
    group.activate = () => openDesign(point.design);
    return group;
  }

  walk(event, marks) {
    const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (event.key === "Enter") {
      // Else the same key press would close the section that it opens.
      event.preventDefault();
      marks[this.current].activate();
    }
    if (!(event.key in moves)) return;
    event.preventDefault();
    marks[this.current].setAttribute("tabindex", -1);
    this.current = Math.max(0, Math.min(marks.length - 1, this.current + moves[event.key]));
    marks[this.current].setAttribute("tabindex", 0);
    marks[this.current].focus();
  }

  hint(lines, x, y, box) {
    const scale = this.canvas.clientWidth / (box.right + 16);
    this.tip.replaceChildren(element("strong", {}, lines[0]), ...lines.slice(1).map((line) => element("div", {}, line)));
    this.tip.hidden = false;
    const left = Math.min(x * scale + 12, this.canvas.clientWidth - this.tip.offsetWidth);
    const top = y * scale - this.tip.offsetHeight - 12;
    this.tip.style.left = `${Math.max(0, left)}px`;
    this.tip.style.top = `${top < 0 ? y * scale + 14 : top}px`;
  }

  list(found, front) {
    const [x, y] = [FIGURES.get(this.x), FIGURES.get(this.y)];
    const items = front.map(({ design }) => element("li", {},
      element("a", { href: `#${design.anchor}` }, design.name),
      `: ${x.label} ${withUnit(design.values[this.x], x)}, ${y.label} ${withUnit(design.values[this.y], y)}`));
    const heading = `Pareto front: ${front.length} of ${found.points.length} designs`;
    const parts = [element("p", {}, element("strong", {}, heading)), element("ol", {}, ...items)];
    if (found.others) parts.push(element("p", {}, `${count(found.others)} with other operands are not compared here.`));
    const methods = new Set(found.points.map(({ design }) => design.method));
    if (methods.size > 1 && [x, y].some((figure) => figure.group === "cost")) {
      parts.push(element("p", {}, `Take care: these costs were made in ${methods.size} ways (${[...methods].join("; ")}).`));
    }
    if (found.missing.length) {
      parts.push(element("details", {}, element("summary", {}, `Left out: ${found.missing.length}`),
        element("ul", {}, ...found.missing.map((line) => element("li", {}, line)))));
    }
    this.listing.replaceChildren(...parts);
  }
}

function staircase(front, xAxis, yAxis, box) {
  if (front.length === 0) return "";
  const places = front.map(({ at }) => [xAxis.place(at[0]), yAxis.place(at[1])]);
  // Right from a point until the next, better one begins: the edge of what is dominated.
  let path = `M${places[0][0]} ${box.top}V${places[0][1]}`;
  for (const [x, y] of places.slice(1)) path += `H${x}V${y}`;
  return `${path}H${box.right}`;
}

function frame(box, xAxis, yAxis, names) {
  const parts = [drawn("path", { class: "axis", d: `M${box.left} ${box.top}V${box.bottom}H${box.right}` })];
  for (const value of xAxis.ticks) {
    const x = xAxis.place(value);
    parts.push(drawn("path", { class: "grid", d: `M${x} ${box.top}V${box.bottom}` }));
    parts.push(drawn("text", { x, y: box.bottom + 16, "text-anchor": "middle" }, tickText(value)));
  }
  for (const value of yAxis.ticks) {
    const y = yAxis.place(value);
    parts.push(drawn("path", { class: "grid", d: `M${box.left} ${y}H${box.right}` }));
    parts.push(drawn("text", { x: box.left - 6, y: y + 4, "text-anchor": "end" }, tickText(value)));
  }
  // Two strokes across an axis whose 0 stands apart.
  if (xAxis.breakAt !== null) parts.push(drawn("path", { class: "axis", d: `M${xAxis.breakAt - 4} ${box.bottom + 5}l4-10m3 0l-4 10` }));
  if (yAxis.breakAt !== null) parts.push(drawn("path", { class: "axis", d: `M${box.left - 5} ${yAxis.breakAt}l10-4m0 4l-10 4` }));
  const middle = (box.top + box.bottom) / 2;
  parts.push(drawn("text", { x: (box.left + box.right) / 2, y: box.bottom + 38, "text-anchor": "middle" }, names[0]));
  parts.push(drawn("text", { transform: `translate(13 ${middle}) rotate(-90)`, "text-anchor": "middle" }, names[1]));
  return parts;
}
