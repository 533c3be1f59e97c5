// Facts about an item.

import { $, h, number, refill } from "./dom.js";

export function showHeading(item, queue, total) {
  $("title").textContent = item.spectrum_id;
  $("title").title = item.spectrum_id;
  const title = item.title === item.spectrum_id ? "" : item.title;
  $("subtitle").textContent = [queue.title, title].filter(Boolean).join(" · ");
  $("place").replaceChildren(h("b", {}, number.format(item.position + 1)), ` / ${number.format(total)}`);
  document.title = `${item.position + 1} · ${queue.title} · starsift`;
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
