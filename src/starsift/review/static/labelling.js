// Labels, flags and comments: given, saved, undone.

import { Outbox, request } from "./api.js";
import { allSaved, dismiss, hide, onAway, onBack, say } from "./banner.js";
import { $, h } from "./dom.js";
import { loaded } from "./items.js";
import { isDisputed, showLabels, showOpinions } from "./opinions.js";
import { showProgress } from "./queues.js";
import { state } from "./state.js";
import { forward, goTo, insertBefore } from "./steps.js";

/** Labels on their way; `openQueue(id, position)` leads to one that the server refused. */
export function makeOutbox(openQueue) {
  return new Outbox(`starsift-outbox-${state.user}`, {
    saved(entry, answer) {
      onBack();
      allSaved();
      if (entry.queue !== state.queue?.id) return;
      showProgress(answer.progress, state.user);
      update(entry.position, answer);
      const { label } = entry.body;
      if (label) note(entry.position, `${label}, saved`, answer.labels);
    },
    failing(error) {
      // A server that answers gives the reason (such as a full disk).
      onAway(error.status ? `Saving failed: ${error.message}.` : undefined);
    },
    refused(entry, detail) {
      if (entry.queue === state.queue?.id) state.labelled.delete(entry.position);
      say(`Spectrum ${entry.position + 1} was NOT SAVED: ${detail}`, {
        button: "Go to it",
        action: () => (hide(), openQueue(entry.queue, entry.position)),
      });
    },
  });
}

/** Show the server's answer about the labels of a spectrum in every place. */
async function update(position, { labels, history }) {
  state.rows.update(position, labels);
  const item = await loaded(position);
  if (!item) return;
  Object.assign(item, { labels, history });
  if (item !== state.item) return;
  if (document.activeElement !== $("comment")) showLabels(item, state.user, state.session.read_only);
  showOpinions(item, state.user);
}

/** The last thing that this person did. */
function note(position, text, labels = {}) {
  const others = Object.entries(labels).filter(([who, said]) => who !== state.user && said.label);
  const disputed = isDisputed(labels);
  $("saved").className = disputed ? "alarm" : "";
  $("saved").replaceChildren(
    h("button", { type: "button", className: "quiet", onclick: () => goTo(position) }, `#${position + 1}`),
    ` ${text}`,
    disputed ? ` · ${others.map(([who, said]) => `${who}: ${said.label}`).join(", ")}` : "",
  );
}

/** A key acts on the spectrum that is painted, never on one that is on its way. */
function canLabel() {
  const { item, leaving, seen, session, wanted } = state;
  return seen && seen === item && seen.position === wanted && !leaving && !session.read_only;
}

function give(change) {
  const { item, outbox, queue, user } = state;
  const said = { ...(item.labels[user] ?? {}), ...change };
  item.labels = { ...item.labels, [user]: said };
  outbox.add({ queue: queue.id, position: item.position, body: { user, ...change } });
}

export async function label(name) {
  if (!canLabel()) return;
  const { item } = state;
  give({ label: name });
  state.labelled.add(item.position);
  note(item.position, `${name} …`);
  state.leaving = true;
  await forward().finally(() => (state.leaving = false));
  if (item === state.item) showLabels(item, state.user, false); // nowhere to go on to
}

export function flag() {
  if (!canLabel()) return;
  give({ flag: !state.item.labels[state.user]?.flag });
  showLabels(state.item, state.user, false);
}

export function saveComment() {
  if (!canLabel()) return;
  const text = $("comment").value.trim();
  if (text === (state.item.labels[state.user]?.comment ?? "")) return;
  give({ comment: text });
}

export async function undo() {
  const { outbox, session, user } = state;
  if (session.read_only) return;
  if (outbox.size && state.away) return; // the banner says what waits
  await outbox.idle();
  try {
    const answer = await request(`api/queues/${state.queue.id}/undo`, { user });
    const { position } = answer;
    $("saved").className = "";
    if (position === null) return void ($("saved").textContent = "Nothing to undo");
    if (!answer.labels[user]?.label) state.labelled.delete(position);
    showProgress(answer.progress, user);
    await update(position, answer);
    $("saved").className = "";
    $("saved").textContent = `#${position + 1} undone`;
    insertBefore(position);
    await goTo(position);
  } catch (error) {
    say(`Nothing was undone: ${error.status ? error.message : "the server does not answer"}. Press u again when it is back.`, dismiss);
  }
}
