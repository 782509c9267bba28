// The table: sorting, filters, choice of columns. Tells the plots which designs are shown.

const Table = (() => {
  const table = document.getElementById("designs");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  const status = document.getElementById("status");
  const filter = { words: [], kind: "", ranges: [] };
  const listeners = [];
  let order = { key: "name", descending: false };

  function valueOf(row, key) {
    const design = DATA.designs[row.dataset.index];
    if (key === "name" || key === "kind") return design[key];
    return design.values[key] ?? null;
  }

  function compare(left, right) {
    const [x, y] = [valueOf(left, order.key), valueOf(right, order.key)];
    // What is missing stands last, whichever way the rest is sorted.
    if (x === null || y === null) return (x === null) - (y === null);
    const difference = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
    return order.descending ? -difference : difference;
  }

  function sortBy(key) {
    order = { key, descending: order.key === key && !order.descending };
    for (const heading of headings) {
      if (heading.dataset.key === key) {
        heading.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
      } else heading.removeAttribute("aria-sort");
    }
    body.append(...[...rows].sort(compare));
    tell();
  }

  function passes(design) {
    if (!filter.words.every((word) => design.text.includes(word))) return false;
    if (filter.kind && design.kind !== filter.kind) return false;
    return filter.ranges.every(({ key, low, high }) => {
      if (low === null && high === null) return true;
      const value = design.values[key] ?? null;
      return value !== null && (low === null || value >= low) && (high === null || value <= high);
    });
  }

  function apply() {
    for (const row of rows) row.hidden = !passes(DATA.designs[row.dataset.index]);
    tell();
    for (const listener of listeners) listener();
  }

  function tell() {
    const heading = headings.find((cell) => cell.dataset.key === order.key);
    const name = FIGURES.has(order.key) ? title(FIGURES.get(order.key)) : heading.textContent;
    const way = order.descending ? "descending" : "ascending";
    status.textContent = `${shown().length} of ${rows.length} designs, by ${name}, ${way}.`;
  }

  function shown() {
    return rows.filter((row) => !row.hidden).map((row) => Number(row.dataset.index)).sort((x, y) => x - y);
  }

  function rangeControl() {
    const range = { key: FIGURES.has("mae_pct") ? "mae_pct" : DATA.figures[0].key, low: null, high: null };
    filter.ranges.push(range);
    const bound = (label, end) => element("label", {}, label, element("input", {
      type: "number",
      step: "any",
      oninput: (event) => {
        range[end] = event.target.value === "" ? null : Number(event.target.value);
        apply();
      },
    }));
    const figures = DATA.figures.map((figure) => [figure.key, title(figure)]);
    const pick = choice("figure", figures, range.key, (key) => { range.key = key; apply(); });
    return element("span", { class: "range", role: "group", "aria-label": "range of a figure" },
      pick, bound("from", "low"), bound("to", "high"));
  }

  function columnControl() {
    const boxes = headings.slice(1).map((heading) => {
      const key = heading.dataset.key;
      const figure = FIGURES.get(key);
      const none = figure !== undefined && DATA.designs.every((design) => (design.values[key] ?? null) === null);
      const visible = !none && (figure === undefined || figure.known);
      showColumn(key, visible);
      const name = figure === undefined ? heading.textContent.trim() : title(figure);
      return tick(none ? `${name}: no design has it` : name, visible, (on) => showColumn(key, on));
    });
    return element("details", {}, element("summary", {}, "Columns"),
      element("div", { class: "columns" }, ...boxes));
  }

  function showColumn(key, visible) {
    for (const cell of table.querySelectorAll(`[data-key="${key}"]`)) cell.hidden = !visible;
  }

  function kinds() {
    return [...new Set(DATA.designs.map((design) => design.kind))].sort();
  }

  function start() {
    const form = document.getElementById("filters");
    const words = element("input", {
      type: "search",
      oninput: (event) => {
        filter.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
        apply();
      },
    });
    const more = element("button", { type: "button", onclick: () => more.before(rangeControl()) }, "another range");
    const clear = element("button", { type: "reset" }, "show all");
    form.append(
      element("label", {}, "words in name, title, citation", words),
      choice("operands", [["", "all"], ...kinds().map((kind) => [kind, kind])], "", (kind) => { filter.kind = kind; apply(); }),
      rangeControl(), more, clear, columnControl(),
    );
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      for (const field of form.querySelectorAll("input:not([type=checkbox])")) field.value = "";
      Object.assign(filter, { words: [], kind: "" });
      for (const range of filter.ranges) Object.assign(range, { low: null, high: null });
      form.querySelector("select").value = "";
      apply();
    });
    form.hidden = false;
    for (const heading of headings) {
      heading.querySelector("button")?.addEventListener("click", () => sortBy(heading.dataset.key));
    }
    order.key = "";
    sortBy("name");
  }

  return { start, shown, kinds, onChange: (listener) => listeners.push(listener) };
})();
