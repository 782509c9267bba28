// Error distributions as bars; 0 has its own, the scale of counts may be logarithmic.

const Histograms = (() => {
  const settings = { logarithmic: true };

  /** Bars from the most negative error to the most positive one. */
  function bars({ width, zero, above, below }) {
    const bin = (sign) => (pairs, index) => {
      const [near, far] = [sign * (index * width + 1), sign * (index + 1) * width];
      return { pairs, kind: sign < 0 ? "below" : "above", from: Math.min(near, far), to: Math.max(near, far) };
    };
    return [...below.map(bin(-1)).reverse(), { pairs: zero, kind: "zero", from: 0, to: 0 }, ...above.map(bin(1))];
  }

  function describe(bar) {
    const signed = (value) => (value > 0 ? "+" : "") + count(value);
    const span = bar.from === bar.to ? signed(bar.from) : `${signed(bar.from)} to ${signed(bar.to)}`;
    return `error ${span} LSB: ${count(bar.pairs)} operand pairs`;
  }

  function heights(list, room) {
    const most = Math.max(...list.map((bar) => bar.pairs));
    // On a logarithmic scale one pair must still show, so the axis begins at a half.
    const bend = settings.logarithmic ? (pairs) => Math.log10(2 * pairs) : (pairs) => pairs;
    return (pairs) => (pairs === 0 ? 0 : Math.max(1, (bend(pairs) / bend(most)) * room));
  }

  function draw(design, place) {
    const list = bars(design.histogram);
    const [width, height] = [420, 260];
    const box = { left: 72, right: width - 8, top: 10, bottom: height - 44 };
    const tall = heights(list, box.bottom - box.top);
    const most = Math.max(...list.map((bar) => bar.pairs));
    const step = (box.right - box.left) / list.length;
    const svg = drawn("svg", {
      viewBox: `0 0 ${width} ${height}`,
      tabindex: 0,
      role: "img",
      "aria-label": `How often each error of ${design.name} occurs; arrow keys read it bar by bar`,
    });
    const ticks = settings.logarithmic ? logTicks(1, most, 5) : linearTicks(0, most, 5);
    for (const value of ticks) {
      const y = box.bottom - (value === 0 ? 0 : tall(value));
      svg.append(drawn("path", { class: "grid", d: `M${box.left} ${y}H${box.right}` }));
      svg.append(drawn("text", { x: box.left - 5, y: y + 4, "text-anchor": "end" }, tickText(value)));
    }
    const shapes = list.map((bar, index) => drawn("rect", {
      class: bar.kind,
      x: (box.left + index * step + step * 0.06).toFixed(2),
      y: (box.bottom - tall(bar.pairs)).toFixed(2),
      width: (step * 0.88).toFixed(2),
      height: tall(bar.pairs).toFixed(2),
    }));
    svg.append(...shapes, drawn("path", { class: "axis", d: `M${box.left} ${box.top}V${box.bottom}H${box.right}` }));
    svg.append(...labels(list, design.heat.range, box, step));
    const readout = element("output", { class: "readout" }, "");
    explore(svg, list, shapes, box, width, readout);
    place.replaceChildren(svg, readout);
  }

  function labels(list, [least, greatest], box, step) {
    const zero = list.findIndex((bar) => bar.kind === "zero");
    const marks = new Map([[0, least], [list.length - 1, greatest]]);
    const far = (index) => Math.abs(index - zero) * step > 45;
    for (const index of [...marks.keys()]) if (!far(index)) marks.delete(index);
    marks.set(zero, 0);
    const texts = [...marks].map(([index, value]) => {
      const x = box.left + (index + 0.5) * step;
      const anchor = index === 0 && list.length > 1 ? "start" : index === list.length - 1 && index > 0 ? "end" : "middle";
      return drawn("text", { x, y: box.bottom + 16, "text-anchor": anchor }, (value > 0 ? "+" : "") + count(value));
    });
    const middle = (box.left + box.right) / 2;
    texts.push(drawn("text", { x: middle, y: box.bottom + 36, "text-anchor": "middle" }, "error (LSB)"));
    const up = `translate(11 ${(box.top + box.bottom) / 2}) rotate(-90)`;
    texts.push(drawn("text", { transform: up, "text-anchor": "middle" }, "operand pairs"));
    return texts;
  }

  function explore(svg, list, shapes, box, width, readout) {
    let chosen = list.findIndex((bar) => bar.kind === "zero");
    const go = (index) => {
      shapes[chosen].classList.remove("chosen");
      chosen = Math.max(0, Math.min(list.length - 1, index));
      shapes[chosen].classList.add("chosen");
      readout.textContent = describe(list[chosen]);
    };
    svg.addEventListener("focus", () => go(chosen));
    svg.addEventListener("pointermove", (event) => {
      const frame = svg.getBoundingClientRect();
      const x = ((event.clientX - frame.left) / frame.width) * width;
      go(Math.floor(((x - box.left) / (box.right - box.left)) * list.length));
    });
    svg.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      go(chosen + moves[event.key]);
    });
  }

  return { draw, settings };
})();
