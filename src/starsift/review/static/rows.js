// The list of the spectra of a queue.

import { $, h, number, refill } from "./dom.js";
import { isDisputed } from "./opinions.js";

const ROW = 28; // px, as in style.css
const PAGE = 200;
const PAGES = 6; // kept in memory

/** The queue as a list that only ever holds the rows in sight. */
export class RowList {
  #pages = new Map(); // number of the page -> rows, or the promise of them; the latest used last
  #total = 0;
  #current = -1;
  #waiting = null;
  #fetch;
  #open;

  constructor(fetchRows, open) {
    this.#fetch = fetchRows;
    this.#open = open;
    $("rows").addEventListener("scroll", () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe($("rows"));
  }

  /** Another queue. */
  reset(total) {
    this.#pages.clear();
    this.#total = total;
    $("rows-space").style.height = `${total * ROW}px`;
    $("rows").scrollTop = 0;
    this.#draw();
  }

  select(position) {
    this.#current = position;
    const list = $("rows");
    const top = position * ROW;
    if (top < list.scrollTop || top + 2 * ROW > list.scrollTop + list.clientHeight) {
      list.scrollTop = Math.max(0, top - list.clientHeight / 3);
    }
    this.#draw();
  }

  /** The labels of a spectrum have changed. */
  update(position, labels) {
    const page = this.#pages.get(Math.floor(position / PAGE));
    const row = Array.isArray(page) && page[position % PAGE];
    if (!row) return;
    const said = Object.entries(labels).filter(([, state]) => state.label);
    row.labels = Object.fromEntries(said.map(([who, state]) => [who, state.label]));
    row.flag = Object.values(labels).some((state) => state.flag);
    row.disagreement = isDisputed(labels);
    this.#draw();
  }

  /** Read the rows in sight again: others label too. */
  async refresh() {
    const [first, last] = this.#sight();
    const pages = new Set([Math.floor(first / PAGE), Math.floor(last / PAGE)]);
    for (const page of pages) await this.#load(page);
  }

  #sight() {
    const { scrollTop, clientHeight } = $("rows");
    const first = Math.floor(scrollTop / ROW);
    return [first, Math.max(first, Math.min(this.#total, first + Math.ceil(clientHeight / ROW) + 1) - 1)];
  }

  async #load(page) {
    const pages = this.#pages;
    try {
      const rows = await this.#fetch(page * PAGE, PAGE);
      pages.delete(page);
      pages.set(page, rows);
      while (pages.size > PAGES) pages.delete(pages.keys().next().value);
    } catch {
      if (!Array.isArray(pages.get(page))) pages.delete(page); // requested again at the next draw
      return;
    }
    this.#draw();
  }

  #row(position) {
    const index = Math.floor(position / PAGE);
    const page = this.#pages.get(index);
    if (page === undefined) this.#pages.set(index, this.#load(index));
    return Array.isArray(page) ? page[position % PAGE] : undefined;
  }

  #draw() {
    // Once for all calls until the browser has time: the spectrum comes first.
    this.#waiting ??= requestIdleCallback(
      () => {
        this.#waiting = null;
        this.#drawNow();
      },
      { timeout: 100 },
    );
  }

  #drawNow() {
    const [first, last] = this.#sight();
    const positions = Array.from({ length: this.#total ? last - first + 1 : 0 }, (_, i) => first + i);
    const make = () =>
      h("button", { type: "button", className: "row", tabIndex: -1 }, h("span", { className: "number" }), h("span", { className: "name" }), h("span"));
    refill($("rows-space"), positions, make, (button, position) => {
      const row = this.#row(position);
      const [place, name, said] = button.children;
      button.title = row?.spectrum_id ?? "";
      button.onclick = () => this.#open(position);
      button.setAttribute("aria-current", String(position === this.#current));
      button.style.transform = `translateY(${position * ROW}px)`;
      place.textContent = number.format(position + 1);
      name.textContent = row ? `\u200e${row.spectrum_id}` : "…"; // left to right in a cell that ends at its left
      said.textContent = row ? [...new Set(Object.values(row.labels))].join(" / ") || (row.flag ? "flag" : "") : "";
      said.className = row?.disagreement ? "said alarm" : row?.flag ? "said warn" : "said";
    });
  }
}
