// The gallery: small plots of the spectra of a queue or selection, many of which get a label at once.

import { request } from "./api.js";
import { bytes } from "./arrays.js";
import { $, h, number, refill } from "./dom.js";
import { cssColour } from "./figures.js";
import { showSaid } from "./rows.js";
import { count, placeOf, positionAt } from "./selection.js";
import { state } from "./state.js";

const CELL = 172; // px, least width
const ROW = 128; // px, as in style.css
const MARGIN = 34; // px left of the cells, for the button that selects a row
const BATCH = 24; // plots in one request
const REQUESTS = 2; // at a time
const KEPT = 5000; // plots in memory

/** Only the rows in sight are elements; a spectrum has a position in its queue, and a place in the selection. */
export class Gallery {
  open = false;
  #plots = new Map(); // position -> {envelope, ends} or {error}; the latest last
  #asked = new Set(); // positions of plots on their way
  #requests = 0;
  #whole = false;
  #place = 0; // of the cell that keys act on
  #anchor = 0; // from which shift extends
  #chosen = new Set(); // positions
  #columns = 1;
  #round = 0; // counts what makes older answers useless
  #show;
  #label;

  /** show(position) opens a spectrum, label(positions, name) labels several. */
  constructor(show, label) {
    [this.#show, this.#label] = [show, label];
    $("cells").addEventListener("scroll", () => this.draw(), { passive: true });
    $("cells").addEventListener("click", (event) => this.#onClick(event));
    new ResizeObserver(() => this.#layOut()).observe($("cells"));
    for (const button of $("gallery-range").children) {
      button.addEventListener("click", () => this.#setWhole(button.value === "whole"));
    }
    $("unselect").addEventListener("click", () => this.#choose([]));
    $("gallery").addEventListener("click", () => this.open && this.takeKeys());
  }

  /** Another queue or selection. */
  reset() {
    this.#round++;
    this.#plots.clear();
    this.#asked.clear();
    this.#chosen.clear();
    this.#place = this.#anchor = 0;
    $("cells").scrollTop = 0;
    this.#layOut();
  }

  /** The queue as a gallery, or one spectrum. */
  toggle(on) {
    this.open = on;
    document.body.classList.toggle("in-gallery", on);
    $("gallery").hidden = !on;
    $("gallery-button").setAttribute("aria-pressed", String(on));
    if (!on) return;
    this.takeKeys();
    if (!state.queue) return;
    for (const button of $("labels").children) button.setAttribute("aria-pressed", "false");
    this.#layOut();
    if (state.wanted !== null) this.focus(state.wanted);
  }

  /** The first and the last place in sight. */
  sight() {
    if (!this.open) return [];
    const [first, last] = this.#rowsInSight();
    return [first * this.#columns, Math.min(count(), (last + 1) * this.#columns) - 1].filter((place) => place >= 0);
  }

  /** Let keys act on a spectrum, and bring it into sight. */
  focus(position) {
    const place = placeOf(position);
    if (place >= 0) this.#moveTo(place);
  }

  /** One label for the chosen spectra, or for the one that keys act on. */
  label(name) {
    if (!count()) return;
    const chosen = [...this.#chosen];
    const positions = chosen.length ? chosen : [positionAt(this.#place)];
    const last = chosen.length ? Math.max(...chosen.map(placeOf)) : this.#place;
    this.#label(positions, name);
    this.#chosen.clear();
    this.#moveTo(Math.min(last + 1, count() - 1));
    this.takeKeys();
  }

  /** Space and Enter are for the gallery, not for the button that was clicked last. */
  takeKeys() {
    $("cells").focus({ preventScroll: true });
  }

  /** Whether the key was one of the gallery's. */
  onKey({ key, shiftKey }) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns };
    const page = Math.max(1, Math.floor($("cells").clientHeight / ROW)) * this.#columns;
    Object.assign(steps, { PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity });
    const actions = {
      Enter: () => this.#show(positionAt(this.#place)),
      " ": () => this.#toggleAt(this.#place),
      r: () => this.#toggleRow(Math.floor(this.#place / this.#columns)),
      z: () => this.#setWhole(!this.#whole),
      Escape: () => (this.#chosen.size ? this.#choose([]) : this.#show(state.wanted)),
    };
    if (steps[key] !== undefined) {
      const to = Math.max(0, Math.min(count() - 1, this.#place + steps[key]));
      // Up and down stay in their column.
      const leaves = Math.abs(steps[key]) === this.#columns && Math.abs(to - this.#place) !== this.#columns;
      if (!leaves) this.#moveTo(to, shiftKey);
    } else if (actions[key]) actions[key]();
    else return false;
    return true;
  }

  #moveTo(place, extend = false) {
    this.#place = place;
    if (extend) return this.#chooseRange(this.#anchor, place);
    this.#anchor = place;
    this.#bringIntoSight();
    this.draw();
  }

  #bringIntoSight() {
    const top = Math.floor(this.#place / this.#columns) * ROW;
    const cells = $("cells");
    if (top < cells.scrollTop) cells.scrollTop = top;
    else if (top + ROW > cells.scrollTop + cells.clientHeight) cells.scrollTop = top + ROW - cells.clientHeight;
  }

  // ---- which spectra are chosen ----

  #choose(positions) {
    this.#chosen = new Set(positions);
    this.draw();
  }

  #range(first, last) {
    const [low, high] = first < last ? [first, last] : [last, first];
    return Array.from({ length: high - low + 1 }, (_, i) => positionAt(low + i));
  }

  #chooseRange(first, last) {
    this.#bringIntoSight();
    this.#choose([...this.#chosen, ...this.#range(first, last)]);
  }

  #toggleAt(place) {
    const position = positionAt(place);
    if (!this.#chosen.delete(position)) this.#chosen.add(position);
    this.#moveTo(place);
  }

  #toggleRow(row) {
    const first = row * this.#columns;
    const positions = this.#range(first, Math.min(first + this.#columns, count()) - 1);
    const all = positions.every((position) => this.#chosen.has(position));
    for (const position of positions) {
      if (all) this.#chosen.delete(position);
      else this.#chosen.add(position);
    }
    this.#moveTo(first);
  }

  #onClick({ target, shiftKey, ctrlKey, metaKey }) {
    const row = target.closest(".select-row");
    if (row) return this.#toggleRow(Number(row.value));
    const cell = target.closest(".cell");
    if (!cell) return;
    const place = Number(cell.dataset.place);
    if (shiftKey) {
      this.#place = place;
      this.#chooseRange(this.#anchor, place);
    } else if (ctrlKey || metaKey || target.closest(".tick")) this.#toggleAt(place);
    else this.#show(positionAt(place));
  }

  // ---- plots ----

  #setWhole(whole) {
    this.#whole = whole;
    this.#round++;
    this.#plots.clear();
    this.#asked.clear();
    this.draw();
  }

  /** Ask for the plots in sight that are not here, a few at a time, so that those in sight come first. */
  async #ask() {
    const [first, last] = this.sight();
    const missing = [];
    for (let place = first; place <= last && missing.length < BATCH; place++) {
      const position = positionAt(place);
      if (!this.#plots.has(position) && !this.#asked.has(position)) missing.push(position);
    }
    if (!missing.length || this.#requests >= REQUESTS) return;
    const round = this.#round;
    this.#requests++;
    missing.forEach((position) => this.#asked.add(position));
    let pause = 0;
    try {
      const url = `api/queues/${state.queue.id}/thumbnails?at=${missing}&whole=${this.#whole}`;
      const { thumbnails } = await request(url);
      if (round === this.#round) thumbnails.forEach((plot) => this.#keep(plot));
    } catch {
      pause = 2000; // the banner says that the server is away
    }
    this.#requests--;
    if (round === this.#round) missing.forEach((position) => this.#asked.delete(position));
    setTimeout(() => this.draw(), pause);
    this.#ask();
  }

  #keep({ position, image, ends, error }) {
    this.#plots.set(position, { envelope: image && bytes(image), ends, error });
    for (const old of this.#plots.keys()) {
      if (this.#plots.size <= KEPT) break;
      this.#plots.delete(old);
    }
  }

  // ---- elements ----

  #layOut() {
    if (!this.open) return;
    const place = this.#columns * Math.floor($("cells").scrollTop / ROW);
    this.#columns = Math.max(1, Math.floor(($("cells").clientWidth - MARGIN) / CELL));
    $("cells").style.setProperty("--columns", this.#columns);
    $("cells-space").style.height = `${Math.ceil(count() / this.#columns) * ROW}px`;
    $("cells").scrollTop = Math.floor(place / this.#columns) * ROW;
    $("cells").setAttribute("aria-rowcount", Math.ceil(count() / this.#columns));
    this.draw();
  }

  #rowsInSight() {
    const { scrollTop, clientHeight } = $("cells");
    const last = Math.ceil(count() / this.#columns) - 1;
    return [Math.floor(scrollTop / ROW), Math.min(last, Math.floor((scrollTop + clientHeight) / ROW))];
  }

  draw() {
    if (!this.open || !state.queue) return;
    const [first, last] = this.#rowsInSight();
    const rows = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
    refill($("cells-space"), rows, makeRow, (element, row) => this.#drawRow(element, row));
    $("cells").setAttribute("aria-activedescendant", `cell-${this.#place}`);
    const n = this.#chosen.size;
    $("gallery-title").textContent = `${state.queue.title}: ${number.format(count())} ${count() === 1 ? "spectrum" : "spectra"}`;
    $("gallery-empty").hidden = count() > 0;
    $("chosen-cells").textContent = n ? `${number.format(n)} chosen` : "None chosen: keys label the framed one";
    $("unselect").disabled = !n;
    for (const button of $("gallery-range").children) {
      button.setAttribute("aria-checked", String((button.value === "whole") === this.#whole));
    }
    const ends = this.#plots.get(positionAt(this.#place))?.ends;
    $("gallery-ends").textContent = ends ? `${ends.map((end) => end.toFixed(0)).join(" – ")} Å` : "";
    const unit = state.columns.get(shownColumn())?.unit;
    $("gallery-value").textContent = shownColumn() && `values: ${shownColumn()}${unit ? ` (${unit})` : ""}`;
    this.#ask();
  }

  #drawRow(element, row) {
    element.style.transform = `translateY(${row * ROW}px)`;
    element.setAttribute("aria-rowindex", row + 1);
    const first = row * this.#columns;
    const places = Array.from({ length: Math.min(this.#columns, count() - first) }, (_, i) => first + i);
    const [select, cells] = element.children;
    select.firstChild.value = row;
    select.firstChild.setAttribute("aria-pressed", String(places.every((place) => this.#chosen.has(positionAt(place)))));
    refill(cells, places, makeCell, (cell, place) => this.#drawCell(cell, place));
  }

  #drawCell(cell, place) {
    const position = positionAt(place);
    const row = state.rows.row(place);
    const plot = this.#plots.get(position);
    const [canvas, name, below, tick] = cell.children;
    cell.id = `cell-${place}`;
    cell.dataset.place = place;
    cell.classList.toggle("current", place === this.#place);
    const chosen = this.#chosen.has(position);
    cell.setAttribute("aria-selected", String(chosen));
    const said = Object.entries(row?.labels ?? {}).map(([who, label]) => `${who}: ${label}`);
    const value = row?.value && `${shownColumn()} = ${row.value}`;
    cell.title = plot?.error ?? [row?.spectrum_id, value, ...said].filter(Boolean).join("\n");
    name.textContent = row ? `\u200e${row.spectrum_id}` : "…";
    below.firstChild.textContent = row?.value || number.format(position + 1);
    showSaid(below.lastChild, row);
    tick.textContent = chosen ? "✓" : "";
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const key = [this.#round, position, Boolean(plot), canvas.clientWidth, dark].join();
    if (canvas.dataset.key === key) return;
    canvas.dataset.key = key;
    drawPlot(canvas, plot);
  }
}

const shownColumn = () => state.selection?.query.sort.replace(/^-/, "") ?? "";

function makeRow() {
  const title = "Choose this row";
  const select = h("button", { type: "button", className: "select-row", tabIndex: -1, title: `${title} (r)`, "aria-label": title });
  const cells = h("div", { className: "gallery-cells", role: "presentation" });
  return h("div", { className: "gallery-row", role: "row" }, h("div", { role: "rowheader" }, select), cells);
}

const makeCell = () =>
  h(
    "div",
    { className: "cell", role: "gridcell" },
    h("canvas", { "aria-hidden": "true" }),
    h("span", { className: "name" }),
    h("span", { className: "below" }, h("span", { className: "number" }), h("span")),
    h("span", { className: "tick", title: "Choose (space)" }),
  );

/** An envelope (2, n) of bytes: from the lowest to the highest flux in each column; 0 is a gap. */
function drawPlot(canvas, plot) {
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  if (plot?.error) {
    Object.assign(context, { fillStyle: cssColour("alarm"), textAlign: "center", font: "12px sans-serif" });
    return context.fillText("cannot be shown", width / 2, height / 2);
  }
  if (!plot) return;
  const { envelope } = plot;
  const n = envelope.length / 2;
  const x = (column) => ((column + 0.5) / n) * width;
  const y = (level) => 2 + (1 - (level - 1) / 254) * (height - 4);
  Object.assign(context, { strokeStyle: cssColour("line"), lineWidth: 1, lineJoin: "round" });
  context.beginPath();
  let pen = false;
  for (let column = 0; column < n; column++) {
    const [low, high] = [envelope[column], envelope[n + column]];
    if (low) {
      // As a line through all pixels would run, shrunk.
      if (pen) context.lineTo(x(column), y(low));
      else context.moveTo(x(column), y(low));
      context.lineTo(x(column), y(high) - 0.01);
    }
    pen = low > 0;
  }
  context.stroke();
}
