// Labels: the buttons that give them, and the labels of an item.

import { $, h } from "./dom.js";
import { state } from "./state.js";

export const isDisputed = (labels) =>
  new Set(Object.values(labels).map((said) => said.label).filter(Boolean)).size > 1;

const shortTime = (time) => String(time ?? "").replace("T", " ").slice(0, 16);

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

export function showHelp(title, vocabulary) {
  $("help-search").textContent = `Labels: ${title}`;
  $("help-labels").replaceChildren(
    ...vocabulary.flatMap((entry) => [
      h("dt", {}, h("kbd", {}, entry.key)),
      h("dd", {}, h("b", {}, entry.label), entry.description ? `: ${entry.description}` : ""),
    ]),
  );
}

/** Short state of the item: the person's own label, flag and comment, and badges. */
export function showLabels(item, user, readOnly) {
  const mine = item.labels[user] ?? {};
  for (const button of $("labels").children) {
    button.setAttribute("aria-pressed", String(!state.gallery.open && button.dataset.label === mine.label));
  }
  $("flag").setAttribute("aria-pressed", String(Boolean(mine.flag)));
  $("comment").value = mine.comment ?? "";
  const disputed = isDisputed(item.labels);
  const flagged = Object.values(item.labels).some((said) => said.flag);
  $("badges").replaceChildren(
    ...(readOnly ? [h("span", { className: "badge" }, "Read-only")] : []),
    ...(disputed ? [h("span", { className: "badge alarm" }, "Disagreement")] : []),
    ...(flagged ? [h("span", { className: "badge warn" }, "Flagged")] : []),
  );
}

/** The labels of the item by each person, and its history. */
export function showOpinions(item, user) {
  const disputed = isDisputed(item.labels);
  const opinions = Object.entries(item.labels)
    .filter(([, said]) => said.label || said.flag || said.comment)
    .sort(([a], [b]) => (b === user) - (a === user) || a.localeCompare(b))
    .map(([who, said]) =>
      h(
        "div",
        { className: "opinion" },
        h("span", { className: who === user ? "me" : "" }, who),
        h("span", { className: disputed ? "chip alarm" : "chip" }, said.label || "no label"),
        said.flag ? h("span", { className: "chip warn" }, "flag") : "",
        said.comment && who !== user ? h("p", {}, said.comment) : "",
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
