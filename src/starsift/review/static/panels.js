// What stands around the plots, as DOM. Text of people and of files only ever becomes text nodes.

/** An element: h("p", {className: "note"}, "text", otherElement). Unknown properties become attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Make the children of an element as many as the items, keep those that are there, and give each its item. */
function refill(parent, items, make, update) {
  while (parent.childElementCount < items.length) parent.append(make());
  while (parent.childElementCount > items.length) parent.lastElementChild.remove();
  items.forEach((item, i) => update(parent.children[i], item));
}

export const $ = (id) => document.getElementById(id);

const number = new Intl.NumberFormat("en");
const GROUPS = { round: "Asked for by the learner", candidates: "Candidates" };
export const PATHS = { binaries: "Binaries", mstars: "M stars", emission: "Emission lines", bhb: "BHB stars" };

export const isDisputed = (labels) =>
  new Set(Object.values(labels).map((state) => state.label).filter(Boolean)).size > 1;

const shortTime = (time) => String(time ?? "").replace("T", " ").slice(0, 16);

export function showQueues(queues, current, open) {
  const groups = Object.entries(GROUPS).map(([group, title]) => {
    const members = queues.filter((queue) => queue.group === group);
    return members.length
      ? [
          h("h2", {}, title),
          ...members.map((queue) =>
            h(
              "button",
              { type: "button", className: "queue", "aria-current": String(queue.id === current), onclick: () => open(queue.id) },
              h("span", {}, queue.title),
              h("span", { className: "number" }, number.format(queue.total)),
            ),
          ),
        ]
      : [];
  });
  $("queues").replaceChildren(...groups.flat());
  $("queues").querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
}

export function showProgress(progress, user) {
  const { total, labelled } = progress;
  $("bar").max = Math.max(total, 1);
  $("bar").value = labelled;
  $("percent").textContent = total ? `${((100 * labelled) / total).toFixed(total >= 1000 ? 1 : 0)} %` : "";
  $("counts").textContent =
    `${number.format(labelled)} of ${number.format(total)} labelled` +
    (progress.disagreements ? ` · ${number.format(progress.disagreements)} disputed` : "") +
    (progress.flagged ? ` · ${number.format(progress.flagged)} flagged` : "");
  const people = Object.entries(progress.by_person).sort(([, a], [, b]) => b - a);
  $("people").replaceChildren(
    ...people.flatMap(([who, count]) => [
      h("dt", { className: who === user ? "me" : "" }, who),
      h("dd", { className: "number" }, number.format(count)),
    ]),
  );
}

export function showHeading(item, queue, total) {
  $("title").textContent = item.spectrum_id;
  $("title").title = item.spectrum_id;
  const title = item.title === item.spectrum_id ? "" : item.title;
  $("subtitle").textContent = [queue.title, title].filter(Boolean).join(" · ");
  $("place").replaceChildren(h("b", {}, number.format(item.position + 1)), ` / ${number.format(total)}`);
  document.title = `${item.position + 1} · ${queue.title} · starsift`;
}

export function showLabelButtons(vocabulary, give, readOnly) {
  $("labels").replaceChildren(
    ...vocabulary.map((entry) =>
      h(
        "button",
        {
          type: "button",
          className: "label",
          title: entry.description,
          disabled: readOnly,
          "aria-pressed": "false",
          "aria-keyshortcuts": entry.key,
          "data-label": entry.label,
          onclick: () => give(entry.label),
        },
        h("kbd", {}, entry.key),
        entry.label,
      ),
    ),
  );
}

export function showHelp(path, vocabulary) {
  $("help-path").textContent = `Labels: ${PATHS[path] ?? path}`;
  $("help-labels").replaceChildren(
    ...vocabulary.flatMap((entry) => [
      h("dt", {}, h("kbd", {}, entry.key)),
      h("dd", {}, h("b", {}, entry.label), entry.description ? `: ${entry.description}` : ""),
    ]),
  );
}

/** What people said of the item, in short: the person's own label, flag and comment, and badges. */
export function showLabels(item, user, readOnly) {
  const mine = item.labels[user] ?? {};
  for (const button of $("labels").children) {
    button.setAttribute("aria-pressed", String(button.dataset.label === mine.label));
  }
  $("flag").setAttribute("aria-pressed", String(Boolean(mine.flag)));
  $("comment").value = mine.comment ?? "";
  const disputed = isDisputed(item.labels);
  const flagged = Object.values(item.labels).some((state) => state.flag);
  $("badges").replaceChildren(
    ...(readOnly ? [h("span", { className: "badge" }, "Read-only")] : []),
    ...(disputed ? [h("span", { className: "badge alarm" }, "Disagreement")] : []),
    ...(flagged ? [h("span", { className: "badge warn" }, "Flagged")] : []),
  );
}

/** What people said of the item, one by one, and its history. */
export function showOpinions(item, user) {
  const disputed = isDisputed(item.labels);
  const opinions = Object.entries(item.labels)
    .filter(([, state]) => state.label || state.flag || state.comment)
    .sort(([a], [b]) => (b === user) - (a === user) || a.localeCompare(b))
    .map(([who, state]) =>
      h(
        "div",
        { className: "opinion" },
        h("span", { className: who === user ? "me" : "" }, who),
        h("span", { className: disputed ? "chip alarm" : "chip" }, state.label || "no label"),
        state.flag ? h("span", { className: "chip warn" }, "flag") : "",
        state.comment && who !== user ? h("p", {}, state.comment) : "",
      ),
    );
  $("opinions").replaceChildren(...(opinions.length ? opinions : [h("p", { className: "none" }, "Nobody yet")]));
  const events = [...item.history].reverse().map((event) => {
    const what = [
      event.label && `${event.label}`,
      event.flag === true && "flag",
      event.flag === false && "flag removed",
      event.comment && `“${event.comment}”`,
    ].filter(Boolean);
    return h(
      "li",
      { className: event.undone ? "undone" : "", title: `starsift ${event.version}${event.undone ? ", undone" : ""}` },
      h("span", {}, `${event.who}: ${what.join(", ") || "undo"}`),
      h("time", { className: "number" }, shortTime(event.time)),
    );
  });
  $("history").replaceChildren(...(events.length ? events : [h("li", { className: "none" }, "Nothing yet")]));
}

export function showFacts(item) {
  refill(
    $("metadata"),
    item.metadata,
    () => h("div", {}, h("dt"), h("dd", { className: "number" }, h("span"), h("i"))),
    (row, { name, value, unit }) => {
      const [term, description] = row.children;
      [term.textContent, term.title] = [name, name];
      description.title = value;
      [description.firstChild.textContent, description.lastChild.textContent] = [value, unit ? ` ${unit}` : ""];
    },
  );
  const has = item.ra !== null && item.ra !== undefined;
  $("coordinates").textContent = has ? `α ${item.ra.toFixed(5)}°  δ ${item.dec.toFixed(5)}°` : "No coordinates";
  $("links").replaceChildren(
    ...item.links.map(({ name, url }) => h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, name)),
  );
  const probabilities = Object.entries(item.extras?.probabilities ?? {});
  $("probabilities-section").hidden = !probabilities.length;
  $("probabilities").replaceChildren(
    ...probabilities.flatMap(([name, p]) => [
      h("span", {}, name),
      h("meter", { min: 0, max: 1, value: p, "aria-label": name }),
      h("span", { className: "number" }, `${(100 * p).toFixed(1)} %`),
    ]),
  );
}

/** Other exposures of the star; `toggle(key)` draws or removes one. colours: key -> CSS variable of those drawn. */
export function showOthers(others, colours, toggle) {
  $("others-section").hidden = !others.length;
  $("others").replaceChildren(
    ...others.map((other) => {
      const drawn = colours.get(other.key);
      return h(
        "button",
        { type: "button", className: `other ${drawn ?? ""}`, title: other.spectrum_id, "aria-pressed": String(Boolean(drawn)), onclick: () => toggle(other.key) },
        h("span", {}, other.date ?? other.spectrum_id),
        h("span", { className: "number" }, other.snr === null || other.snr === undefined ? "" : `S/N ${other.snr.toFixed(0)}`),
      );
    }),
  );
}

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

  /** What people said of a spectrum has changed. */
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
      if (!Array.isArray(pages.get(page))) pages.delete(page); // asked for again at the next draw
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
