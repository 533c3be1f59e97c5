// Facts about an item.

import { $, h, number, refill } from "./dom.js";
import { count, placeOf } from "./selection.js";
import { state } from "./state.js";

export function showHeading(item, queue) {
  $("title").textContent = item.spectrum_id;
  $("title").title = item.spectrum_id;
  const title = item.title === item.spectrum_id ? "" : item.title;
  $("subtitle").textContent = [queue.title, title].filter(Boolean).join(" · ");
  const place = placeOf(item.position);
  $("place").replaceChildren(h("b", {}, place < 0 ? "–" : number.format(place + 1)), ` / ${number.format(count())}`);
  $("place").classList.toggle("selected", Boolean(state.selection));
  document.title = `${item.position + 1} · ${queue.title} · starsift`;
}

export function showFacts(item) {
  showMeasured(item);
  const has = item.ra !== null && item.ra !== undefined;
  $("coordinates").textContent = has ? `α ${item.ra.toFixed(5)}°  δ ${item.dec.toFixed(5)}°` : "No coordinates";
  $("links").replaceChildren(
    ...item.links.map(({ name, url }) => h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, name)),
  );
  const probabilities = Object.entries(item.extras.probabilities ?? {});
  $("probabilities-section").hidden = !probabilities.length;
  $("probabilities").replaceChildren(
    ...probabilities.flatMap(([name, p]) => [
      h("span", {}, name),
      h("meter", { min: 0, max: 1, value: p, "aria-label": name }),
      h("span", { className: "number" }, `${(100 * p).toFixed(1)} %`),
    ]),
  );
}

/** Values in the groups of their columns, in the order of the search within each; descriptions as tooltips. */
function showMeasured({ metadata }) {
  const groups = new Map([...new Set([...state.columns.values()].map((column) => column.group))].map((group) => [group, []]));
  for (const entry of metadata) {
    const column = state.columns.get(entry.name) ?? {};
    if (!groups.has(column.group)) groups.set(column.group, []);
    groups.get(column.group).push({ ...entry, ...column });
  }
  const shown = [...groups].filter(([, entries]) => entries.length);
  refill(
    $("metadata"),
    shown.flatMap(([group, entries]) => [{ group }, ...entries]),
    () => h("div", {}, h("dt"), h("dd", { className: "number" }, h("span"), h("i"))),
    (row, { name, value, unit, description, group }) => {
      const [term, cell] = row.children;
      row.className = name ? "" : "group-name";
      row.title = name ? [description || name, `${name} = ${value} ${unit ?? ""}`].join("\n") : "";
      term.textContent = name ?? group ?? "Measured";
      cell.hidden = !name;
      [cell.firstChild.textContent, cell.lastChild.textContent] = [value ?? "", unit ? ` ${unit}` : ""];
    },
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
