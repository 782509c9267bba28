// Error maps: unpacked from the page's data, painted on a canvas, read cell by cell.

const Heat = (() => {
  // Light at 0, dark at both ends; blue and orange differ for every kind of colour vision.
  const RAMPS = {
    below: [[247, 247, 247], [158, 202, 233], [59, 130, 196], [8, 48, 107]],
    above: [[247, 247, 247], [253, 191, 120], [217, 103, 11], [107, 42, 4]],
  };
  const LEAST_TINT = 0.14;
  const settings = { root: false };

  function colour(ramp, share) {
    const at = share * (ramp.length - 1);
    const index = Math.min(ramp.length - 2, Math.floor(at));
    return ramp[index].map((low, part) => Math.round(low + (ramp[index + 1][part] - low) * (at - index)));
  }

  /** The colour of a cell; greatest is the magnitude at the end of the scale. */
  function shade(cell, greatest) {
    if (cell === 0) return RAMPS.above[0];
    const share = Math.min(1, Math.abs(cell) / greatest);
    const bent = settings.root ? Math.sqrt(share) : share;
    return colour(cell < 0 ? RAMPS.below : RAMPS.above, LEAST_TINT + (1 - LEAST_TINT) * bent);
  }

  async function unpack(heat) {
    const packed = Uint8Array.from(atob(heat.data), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const view = new DataView(await new Response(stream).arrayBuffer());
    return Int16Array.from({ length: view.byteLength / 2 }, (_, index) => view.getInt16(2 * index, true));
  }

  function paint(canvas, cells, [rows, columns], greatest) {
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    const shades = new Map();
    cells.forEach((cell, index) => {
      if (!shades.has(cell)) shades.set(cell, [...shade(cell, greatest), 255]);
      const row = rows - 1 - Math.floor(index / columns);
      image.data.set(shades.get(cell), 4 * (row * columns + (index % columns)));
    });
    context.putImageData(image, 0, 0);
  }

  function legend(greatest) {
    const side = 100;
    const canvas = element("canvas", { "aria-hidden": "true" });
    const cells = Array.from({ length: 2 * side + 1 }, (_, index) => index - side);
    paint(canvas, cells, [1, cells.length], side);
    const ends = [`-${count(greatest)}`, "0", `+${count(greatest)} LSB`].map((text) => element("span", {}, text));
    const words = ["too small", "exact", "too large"].map((text) => element("span", {}, text));
    return element("div", { class: "legend" }, canvas,
      element("div", { class: "ends" }, ...ends), element("div", { class: "ends" }, ...words));
  }

  function span(design, operand, place) {
    const codes = design.heat.codes[operand];
    const first = design.low[operand] + place * codes;
    return codes === 1 ? String(first) : `${first} to ${first + codes - 1}`;
  }

  function reading(design, cells, row, column) {
    const { shape, codes, quantum } = design.heat;
    const error = cells[row * shape[1] + column] * quantum;
    const kind = codes[0] * codes[1] > 1 ? "greatest error" : "error";
    const bound = quantum > 1 && error !== 0 ? ` (magnitude rounded up to a multiple of ${quantum})` : "";
    const sign = error > 0 ? "+" : "";
    return `a = ${span(design, 0, row)}, b = ${span(design, 1, column)}: ${kind} ${sign}${count(error)} LSB${bound}`;
  }

  function explore(design, cells, canvas, stage, readout) {
    const [rows, columns] = design.heat.shape;
    const cross = element("div", { class: "cross", hidden: true });
    const at = { row: 0, column: 0 };
    stage.append(cross);
    const go = (row, column) => {
      at.row = Math.max(0, Math.min(rows - 1, row));
      at.column = Math.max(0, Math.min(columns - 1, column));
      readout.textContent = reading(design, cells, at.row, at.column);
      cross.hidden = false;
      const [width, height] = [canvas.clientWidth / columns, canvas.clientHeight / rows];
      const size = [Math.max(7, width), Math.max(7, height)];
      cross.style.width = `${size[0]}px`;
      cross.style.height = `${size[1]}px`;
      cross.style.left = `${(at.column + 0.5) * width - size[0] / 2}px`;
      cross.style.top = `${(rows - at.row - 0.5) * height - size[1] / 2}px`;
    };
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      go(rows - 1 - Math.floor(((event.clientY - box.top) / box.height) * rows),
        Math.floor(((event.clientX - box.left) / box.width) * columns));
    });
    canvas.addEventListener("focus", () => go(at.row, at.column));
    canvas.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 16 : 1;
      const moves = { ArrowUp: [step, 0], ArrowDown: [-step, 0], ArrowRight: [0, step], ArrowLeft: [0, -step] };
      if (!(event.key in moves)) return;
      event.preventDefault();
      go(at.row + moves[event.key][0], at.column + moves[event.key][1]);
    });
  }

  function ends(design, operand) {
    const { shape, codes } = design.heat;
    const low = design.low[operand];
    const high = low + shape[operand] * codes[operand] - 1;
    return low < 0 ? [low, 0, high] : [low, Math.round(high / 2), high];
  }

  /** Draw a design's map into its place; again after a change of the scale. */
  async function draw(design, place) {
    place.cells ??= unpack(design.heat);
    let cells;
    try {
      cells = await place.cells;
    } catch (error) {
      place.replaceChildren(element("p", {}, `This browser cannot unpack the picture (${error.message}).`));
      return;
    }
    const greatest = Math.max(1, ...design.heat.range.map(Math.abs));
    const readout = element("output", { class: "readout" }, "");
    const canvas = element("canvas", {
      tabindex: 0,
      role: "img",
      "aria-label": `Error of ${design.name} over a (upwards) and b (to the right); arrow keys read it cell by cell`,
    });
    const stage = element("div", { class: "stage" }, canvas);
    paint(canvas, cells, design.heat.shape, Math.max(1, greatest / design.heat.quantum));
    explore(design, cells, canvas, stage, readout);
    const [a, b] = [0, 1].map((operand) => ends(design, operand).map((value) => element("span", {}, String(value))));
    a[1].prepend("a ");
    b[1].prepend("b ");
    place.replaceChildren(element("div", { class: "map" },
      element("div", { class: "up" }, ...a.reverse()), stage,
      element("div", { class: "right" }, ...b), legend(greatest)), readout);
  }

  return { draw, settings };
})();
