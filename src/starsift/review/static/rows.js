// The list of the spectra of a queue, or of the part of it that is selected.

import { $, h, number, refill } from "./dom.js";
import { isDisputed } from "./opinions.js";
import { state } from "./state.js";
import { count, placeOf, positionAt } from "./selection.js";

const ROW = 28; // px, as in style.css
const PAGE = 200;
const PAGES = 6; // kept in memory

/** The queue as a list that only ever holds the rows in sight. A row has a place in it, a spectrum a position in the queue. */
export class RowList {
  #pages = new Map(); // number of the page -> rows, or the promise of them; the latest used last
  #total = 0;
  #current = -1;
  onchange = () => {};
  #waiting = null;
  #fetch;
  #open;

  constructor(fetchRows, open) {
    this.#fetch = fetchRows;
    this.#open = open;
    $("rows").addEventListener("scroll", () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe($("rows"));
  }

  /** Another queue or selection. */
  reset() {
    this.#pages = new Map();
    this.#total = count();
    $("rows-space").style.height = `${this.#total * ROW}px`;
    $("rows").scrollTop = 0;
    this.#draw();
  }

  select(position) {
    this.#current = position;
    const list = $("rows");
    const top = placeOf(position) * ROW;
    if (top < list.scrollTop || top + 2 * ROW > list.scrollTop + list.clientHeight) {
      list.scrollTop = Math.max(0, top - list.clientHeight / 3);
    }
    this.#draw();
  }

  /** The labels of a spectrum have changed. */
  update(position, labels) {
    const place = placeOf(position);
    const page = this.#pages.get(Math.floor(place / PAGE));
    const row = Array.isArray(page) && page[place % PAGE];
    if (!row) return;
    const said = Object.entries(labels).filter(([, state]) => state.label);
    row.labels = Object.fromEntries(said.map(([who, state]) => [who, state.label]));
    row.flag = Object.values(labels).some((state) => state.flag);
    row.disagreement = isDisputed(labels);
    this.#draw();
  }

  /** A person gives a label; the server does not know yet. */
  say(position, who, label) {
    const page = this.#pages.get(Math.floor(placeOf(position) / PAGE));
    const row = Array.isArray(page) && page[placeOf(position) % PAGE];
    if (!row) return;
    row.labels = { ...row.labels, [who]: label };
    row.disagreement = new Set(Object.values(row.labels)).size > 1;
    this.#draw();
  }

  /** Read the rows in sight again: others label too. */
  async refresh() {
    const places = [...this.#sight(), ...state.gallery.sight()];
    for (const page of new Set(places.map((place) => Math.floor(place / PAGE)))) {
      if (page * PAGE < this.#total) await this.#load(page);
    }
  }

  #sight() {
    const { scrollTop, clientHeight } = $("rows");
    const first = Math.floor(scrollTop / ROW);
    return [first, Math.max(first, Math.min(this.#total, first + Math.ceil(clientHeight / ROW) + 1) - 1)];
  }

  async #load(page) {
    const pages = this.#pages;
    try {
      const rows = await this.#fetch(page * PAGE, Math.min(PAGE, this.#total - page * PAGE));
      pages.delete(page);
      pages.set(page, rows);
      while (pages.size > PAGES) pages.delete(pages.keys().next().value);
    } catch {
      if (!Array.isArray(pages.get(page))) pages.delete(page); // requested again at the next draw
      return;
    }
    this.#draw();
  }

  /** The row at a place, if it is here; it is fetched otherwise. */
  row(place) {
    const index = Math.floor(place / PAGE);
    const page = this.#pages.get(index);
    if (page === undefined) this.#pages.set(index, this.#load(index));
    return Array.isArray(page) ? page[place % PAGE] : undefined;
  }

  #draw() {
    // Once for all calls until the browser has time: the spectrum comes first.
    this.#waiting ??= requestIdleCallback(
      () => {
        this.#waiting = null;
        this.#drawNow();
        this.onchange();
      },
      { timeout: 100 },
    );
  }

  #drawNow() {
    const [first, last] = this.#sight();
    const places = Array.from({ length: this.#total ? last - first + 1 : 0 }, (_, i) => first + i);
    const make = () =>
      h("button", { type: "button", className: "row", tabIndex: -1 }, h("span", { className: "number" }), h("span", { className: "name" }), h("span"));
    refill($("rows-space"), places, make, (button, place) => {
      const row = this.row(place);
      const position = positionAt(place);
      const [index, name, said] = button.children;
      button.title = row ? [row.spectrum_id, row.value].filter(Boolean).join("\n") : "";
      button.onclick = () => this.#open(position);
      button.setAttribute("aria-current", String(position === this.#current));
      button.style.transform = `translateY(${place * ROW}px)`;
      index.textContent = number.format(position + 1);
      name.textContent = row ? `\u200e${row.spectrum_id}` : "…"; // left to right in a cell that ends at its left
      showSaid(said, row);
    });
  }
}

/** The labels of a row in short. */
export function showSaid(element, row) {
  element.textContent = row ? [...new Set(Object.values(row.labels))].join(" / ") || (row.flag ? "flag" : "") : "";
  element.className = row?.disagreement ? "said alarm" : row?.flag ? "said warn" : "said";
}
