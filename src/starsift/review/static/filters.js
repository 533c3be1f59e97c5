// The controls that choose and sort spectra of a queue.

import { $, h, number } from "./dom.js";
import { EMPTY, count } from "./selection.js";
import { state } from "./state.js";

const LABELS = {
  "": "all",
  none: "without a label",
  any: "with a label",
  mine: "labelled by me",
  "not-mine": "not labelled by me",
  disputed: "disputed",
  flagged: "flagged",
};

let query = EMPTY; // that the controls show
let apply;

/** apply(query) shows what a query chooses. */
export function wireFilters(onQuery) {
  apply = onQuery;
  $("find").addEventListener("change", () => change({ find: $("find").value.trim() }));
  $("find").addEventListener("search", () => $("find").value || change({ find: "" })); // its cross
  $("find-form").addEventListener("submit", (event) => event.preventDefault());
  $("sort").addEventListener("change", () => change({ sort: sortOf($("sort").value, isDescending()) }));
  $("descending").addEventListener("click", () => change({ sort: sortOf($("sort").value, !isDescending()) }));
  $("label-filter").addEventListener("change", () => change({ label: $("label-filter").value }));
  $("add-condition").addEventListener("change", () => {
    const name = $("add-condition").value;
    $("add-condition").value = "";
    $("conditions").append(makeCondition(`${name}:`));
    $("conditions").lastElementChild.querySelector("input, select").focus();
    if (state.columns.get(name).kind === "flag") readConditions();
  });
  $("renew").addEventListener("click", () => apply(query));
  $("clear-filters").addEventListener("click", () => apply(EMPTY));
}

const isDescending = () => $("descending").getAttribute("aria-pressed") === "true";
const sortOf = (name, descending) => name && `${descending ? "-" : ""}${name}`;

function change(part) {
  if (Object.entries(part).some(([name, value]) => String(query[name]) !== String(value))) apply({ ...query, ...part });
}

/** The columns and labels of another queue. */
export function showFilterChoices(words) {
  const groups = Map.groupBy(state.columns.values(), (column) => column.group);
  const option = ({ name, description }) => h("option", { value: name, title: description }, name);
  const options = () => [...groups].map(([group, columns]) => h("optgroup", { label: group }, ...columns.map(option)));
  $("sort").replaceChildren(h("option", { value: "" }, "order of the queue"), ...options());
  $("add-condition").replaceChildren(h("option", { value: "" }, "add a column …"), ...options());
  $("label-filter").replaceChildren(
    ...Object.entries(LABELS).map(([value, text]) => h("option", { value }, text)),
    h("optgroup", { label: "by anyone" }, ...words.map(({ label }) => h("option", { value: `is:${label}` }, label))),
  );
  showFilters(query);
}

/** Show a query in the controls, and how many spectra it chooses; error is a sentence. */
export function showFilters(shown, error = "") {
  query = shown;
  if (document.activeElement !== $("find")) $("find").value = query.find;
  $("sort").value = query.sort.replace(/^-/, "");
  $("descending").setAttribute("aria-pressed", String(query.sort.startsWith("-")));
  $("descending").disabled = !query.sort;
  $("label-filter").value = query.label;
  // What is being typed stays.
  if (!$("conditions").contains(document.activeElement)) $("conditions").replaceChildren(...query.where.map(makeCondition));
  $("differ").hidden = !query.differ.length;
  $("differ").textContent = `${query.differ.join(" and ")} disagree`;
  const active = query.where.length + Boolean(query.label) + Boolean(query.sort) + Boolean(query.differ.length);
  $("filter-count").textContent = active || "";
  $("filter-error").textContent = error;
  $("selected").hidden = !state.selection;
  if (state.selection) $("selected-count").textContent = `${number.format(count())} of ${number.format(state.queue.total)}`;
}

function makeCondition(condition) {
  const [name, wanted] = split(condition);
  const column = state.columns.get(name) ?? { kind: "text", unit: "", description: "" };
  const unit = column.unit && h("span", { className: "unit" }, column.unit);
  const [low, high] = wanted.includes("..") ? wanted.split("..") : [wanted, wanted];
  const fields = {
    number: () => [makeInput(name, "from", low), h("span", {}, "–"), makeInput(name, "to", high), unit],
    flag: () => [makeChoice(name, ["yes", "no"], wanted)],
    text: () => [makeInput(name, "contains", wanted)],
  };
  const title = `Remove the condition on ${name}`;
  const remove = h("button", { type: "button", className: "quiet", title, "aria-label": title }, "×");
  const row = h(
    "div",
    { className: "condition", "data-name": name, "data-kind": column.kind },
    h("span", { className: "condition-name", title: column.description || name }, name),
    remove,
    h("span", { className: "fields" }, ...fields[column.kind]()),
  );
  remove.onclick = () => {
    row.remove();
    readConditions();
  };
  return row;
}

function makeInput(name, placeholder, value) {
  const label = `${name}: ${placeholder}`;
  const plain = { autocomplete: "off", spellcheck: false };
  return h("input", { type: "text", value, placeholder, "aria-label": label, ...plain, onchange: readConditions });
}

function makeChoice(name, values, chosen) {
  const options = values.map((value) => h("option", { value, selected: value === chosen }, value));
  return h("select", { "aria-label": name, onchange: readConditions }, ...options);
}

const split = (condition) => [condition.slice(0, condition.indexOf(":")), condition.slice(condition.indexOf(":") + 1)];

function readConditions() {
  const where = [...$("conditions").children].map((row) => {
    const values = [...row.querySelectorAll("input, select")].map((input) => input.value.trim());
    const wanted = row.dataset.kind === "number" && values.some(Boolean) ? values.join("..") : values.join("");
    return wanted && `${row.dataset.name}:${wanted}`;
  });
  change({ where: where.filter(Boolean) });
}
