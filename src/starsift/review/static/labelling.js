// Labels, flags and comments: given, saved, undone.

import { Outbox, request } from "./api.js";
import { allSaved, dismiss, hide, onAway, onBack, say } from "./banner.js";
import { $, h, number } from "./dom.js";
import { forget, forgetItems, loaded } from "./items.js";
import { isDisputed, showLabels, showOpinions } from "./opinions.js";
import { showProgress } from "./queues.js";
import { state } from "./state.js";
import { forward, goTo, insertBefore } from "./steps.js";

const AT_ONCE = 1000; // spectra in one request, the server's limit

/** Labels on their way; `openQueue(id, position)` leads to one that the server refused. */
export function makeOutbox(openQueue) {
  return new Outbox(`starsift-outbox-${state.user}`, {
    saved(entry, answer) {
      onBack();
      allSaved();
      if (entry.queue !== state.queue?.id) return;
      showProgress(answer.progress, state.user);
      const { label, positions } = entry.body;
      if (positions) {
        if (answer.saved) state.saved.push(answer.saved);
        forget(positions);
        noteAll(positions, `${label}, saved`);
        return;
      }
      if (entry.changes) state.saved.push(1);
      update(entry.position, answer);
      if (label) note(entry.position, `${label}, saved`, answer.labels);
    },
    failing(error) {
      // A server that answers gives the reason (such as a full disk).
      onAway(error.status ? `Saving failed: ${error.message}.` : undefined);
    },
    refused(entry, detail) {
      const { positions } = entry.body;
      if (entry.queue === state.queue?.id) (positions ?? [entry.position]).forEach((each) => state.labelled.delete(each));
      const what = positions ? `${positions.length} spectra were` : `Spectrum ${entry.position + 1} was`;
      say(`${what} NOT SAVED: ${detail}`, {
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

function noteAll(positions, text) {
  if (positions.length === 1) return note(positions[0], text);
  $("saved").className = "";
  $("saved").textContent = `${number.format(positions.length)} spectra ${text}`;
}

/** A key acts on the spectrum that is painted, never on one that is on its way. */
function canLabel() {
  const { item, leaving, seen, session, wanted } = state;
  return seen && seen === item && seen.position === wanted && !leaving && !session.read_only;
}

function give(change) {
  const { item, outbox, queue, user } = state;
  const before = item.labels[user] ?? {};
  item.labels = { ...item.labels, [user]: { ...before, ...change } };
  const changes = Object.entries(change).some(([name, value]) => before[name] !== value);
  outbox.add({ queue: queue.id, position: item.position, changes, body: { user, ...change } });
}

/** One label for several spectra, which need not be on the screen. */
export function labelAll(positions, name) {
  const { outbox, queue, rows, session, user } = state;
  if (session.read_only) return;
  noteAll(positions, `${name} …`);
  for (const position of positions) {
    state.labelled.add(position);
    rows.say(position, user, name);
  }
  for (let first = 0; first < positions.length; first += AT_ONCE) {
    const part = positions.slice(first, first + AT_ONCE);
    outbox.add({ queue: queue.id, position: part[0], body: { user, label: name, positions: part } });
  }
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

/** Take back the last thing that this person did; in the gallery all that one key or click labelled. */
export async function undo() {
  const { gallery, outbox, queue, saved, session, user } = state;
  if (session.read_only) return;
  if (outbox.size && state.away) return; // the banner says what waits
  await outbox.idle();
  const last = saved.pop() ?? 1;
  const count = gallery.open ? last : 1;
  if (last > count) saved.push(last - count);
  try {
    const answer = await request(`api/queues/${queue.id}/undo`, { user, count });
    const { position } = answer;
    $("saved").className = "";
    if (position === null) return void ($("saved").textContent = "Nothing to undo");
    showProgress(answer.progress, user);
    if (gallery.open) {
      state.labelled.clear();
      forgetItems();
      $("saved").textContent = `${answer.undone} undone`;
      await state.rows.refresh();
      gallery.takeKeys();
      return gallery.focus(position);
    }
    if (!answer.labels[user]?.label) state.labelled.delete(position);
    await update(position, answer);
    $("saved").className = "";
    $("saved").textContent = `#${position + 1} undone`;
    insertBefore(position);
    await goTo(position);
  } catch (error) {
    if (last === count) saved.push(last);
    say(`Nothing was undone: ${error.status ? error.message : "the server does not answer"}. Press u again when it is back.`, dismiss);
  }
}
