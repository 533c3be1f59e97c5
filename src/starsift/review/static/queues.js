// Queues, and how far people are with one.

import { $, h, number } from "./dom.js";

const GROUPS = { round: "Queries of active learning", candidates: "Candidates" };

export function showQueues(queues, current, open) {
  const names = new Set([...Object.keys(GROUPS), ...queues.map((queue) => queue.group)]);
  const groups = [...names].map((group) => {
    const members = queues.filter((queue) => queue.group === group);
    return members.length
      ? [
          h("h2", {}, GROUPS[group] ?? group),
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
