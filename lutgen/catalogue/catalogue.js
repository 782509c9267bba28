// Starts the page: table, plots, and each design's pictures when it is opened, printed or idle.

const SECTIONS = [...document.querySelectorAll("details.design")];
const DRAWN_AHEAD = 300;

function drawDesign(section) {
  const design = DATA.designs[section.dataset.index];
  section.dataset.drawn = "yes";
  if (!design.heat) return undefined; // sampled: no table to draw
  Histograms.draw(design, section.querySelector(".histogram"));
  return Heat.draw(design, section.querySelector(".heat"));
}

function redraw() {
  for (const section of SECTIONS) if (section.dataset.drawn) drawDesign(section);
}

/** Open a design's section and bring it into view. */
function openDesign(design) {
  const section = document.getElementById(design.anchor);
  section.open = true;
  history.replaceState(null, "", `#${design.anchor}`);
  section.scrollIntoView();
  section.querySelector("summary").focus({ preventScroll: true });
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target?.matches("details.design")) return;
  target.open = true;
  target.scrollIntoView();
}

/** Sections follow the table's filter, so that a print holds what the table shows. */
function followTable() {
  const shown = new Set(Table.shown());
  for (const section of SECTIONS) section.hidden = !shown.has(Number(section.dataset.index));
}

// A picture takes a moment to unpack, more than a print dialogue waits for; so all are drawn
// while the page is idle, up to a number beyond which their memory would be felt.
function drawAhead(sections) {
  const [first, ...rest] = sections;
  if (first === undefined) return;
  const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 30));
  idle(async () => {
    if (!first.dataset.drawn) await drawDesign(first);
    drawAhead(rest);
  });
}

function start() {
  Table.start();
  for (const section of document.querySelectorAll(".plot")) new Scatter(section, DATA.plots[section.dataset.plot]);
  Table.onChange(followTable);
  const drawing = document.getElementById("drawing");
  const scales = [["linear", "linear"], ["root", "square root (shows small errors)"]];
  drawing.append(
    choice("colours of the error maps", scales, "linear", (value) => { Heat.settings.root = value === "root"; redraw(); }),
    tick("logarithmic counts in the distributions", Histograms.settings.logarithmic, (on) => { Histograms.settings.logarithmic = on; redraw(); }),
    element("button", { type: "button", onclick: () => { for (const section of SECTIONS) section.open = true; } }, "open all"),
    element("button", { type: "button", onclick: () => { for (const section of SECTIONS) section.open = false; } }, "close all"),
  );
  drawing.hidden = false;
  for (const section of SECTIONS) {
    section.addEventListener("toggle", () => { if (section.open && !section.dataset.drawn) drawDesign(section); });
  }
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = SECTIONS.filter((section) => !section.open);
    for (const section of opened) section.open = true;
  });
  window.addEventListener("afterprint", () => { for (const section of opened) section.open = false; });
  window.addEventListener("hashchange", openTarget);
  openTarget();
  drawAhead(SECTIONS.slice(0, DRAWN_AHEAD));
}

start();
