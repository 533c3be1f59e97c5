// Agreement between people: how often each gave a label, and Cohen's kappa of each two.

import { request } from "./api.js";
import { dismiss, say } from "./banner.js";
import { $, h, number } from "./dom.js";
import { state } from "./state.js";

/** Show the agreement on the queue; open(people) shows the spectra on which two people disagree. */
export async function showAgreement(open) {
  const { queue } = state;
  try {
    const { counts, pairs } = await request(`api/queues/${queue.id}/agreement`);
    if (state.queue !== queue) return;
    $("agreement-queue").textContent = queue.title;
    $("label-counts").replaceChildren(...countTable(counts));
    $("pairs").replaceChildren(...pairTable(pairs, open));
    $("agreement").showModal();
  } catch (error) {
    say(`The agreement cannot be shown: ${error.message}`, dismiss);
  }
}

/** The first cell of a row is text, the others are numbers. */
function cells(tag, values) {
  const text = (value) => (typeof value === "number" ? number.format(value) : value);
  return values.map((value, i) => h(tag, { className: i ? "number" : "" }, text(value)));
}

function countTable(counts) {
  const people = [...new Set(Object.values(counts).flatMap(Object.keys))].sort();
  if (!people.length) return [h("caption", {}, "Nobody has given a label yet.")];
  const total = (who) => Object.values(counts).reduce((sum, count) => sum + (count[who] ?? 0), 0);
  const row = ([label, count]) => h("tr", {}, ...cells("td", [label, ...people.map((who) => count[who] ?? 0)]));
  return [
    h("thead", {}, h("tr", {}, ...cells("th", ["label", ...people]))),
    h("tbody", {}, ...Object.entries(counts).map(row)),
    h("tfoot", {}, h("tr", {}, ...cells("td", ["all", ...people.map(total)]))),
  ];
}

function pairTable(pairs, open) {
  if (!pairs.length) return [h("caption", {}, "No spectrum has labels by two people yet.")];
  const rows = pairs.map(({ people, both, differ, kappa }) => {
    const button = h("button", { type: "button", disabled: !differ }, `Show ${number.format(differ)}`);
    button.onclick = () => {
      $("agreement").close();
      open(people);
    };
    return h("tr", {}, ...cells("td", [people.join(", "), both, differ, kappa === null ? "–" : kappa.toFixed(2), button]));
  });
  const head = cells("th", ["people", "both labelled", "disagree", "κ", ""]);
  return [h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)];
}
