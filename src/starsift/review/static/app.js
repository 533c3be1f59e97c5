// The review page: one queue, one person, one spectrum at a time.

import { patientGet, request } from "./api.js";
import { dismiss, onAway, onBack, say, veil } from "./banner.js";
import { $ } from "./dom.js";
import { applyTheme } from "./figures.js";
import { RENEW, claim, forgetClaims, forgetItems, release, renew } from "./items.js";
import { flag, label, makeOutbox, saveComment, undo } from "./labelling.js";
import { showHelp, showLabelButtons } from "./opinions.js";
import { showProgress, showQueues } from "./queues.js";
import { RowList } from "./rows.js";
import { SpectrumPlots } from "./spectrumplots.js";
import { state } from "./state.js";
import { back, cutTrail, forgetTrail, forward, goTo } from "./steps.js";
import { draw, nextSigma, setVelocity, showSmoothing, toggleLines, zoom } from "./view.js";

const POLL = 15_000; // ms between looks at what others do

// ---- queues and people -------------------------------------------------------------------------------------

async function openQueue(id, position = null) {
  const { session } = state;
  if (state.queue?.id === id && position !== null) return goTo(position);
  release();
  const queue = session.queues.find((candidate) => candidate.id === id);
  Object.assign(state, { queue, item: null, seen: null, wanted: null });
  state.labelled.clear();
  forgetItems();
  forgetTrail();
  const words = session.vocabulary[queue.search];
  showQueues(session.queues, id, (other) => other === state.queue.id || openQueue(other));
  showLabelButtons(words, label, session.read_only);
  showHelp(session.titles[queue.search], words);
  state.rows.reset(queue.total);
  look();
  if (!queue.total) return veil("This queue is empty.");
  if (position !== null) return goTo(position);
  if (!session.read_only) await claim();
  if (state.queue !== queue || state.wanted !== null) return;
  if (state.upcoming.length) return goTo(state.upcoming.shift());
  await goTo(0);
  if (!session.read_only && !state.away) say("Nothing is left for you in this queue.", { kind: "good", ...dismiss });
}

/** What others did meanwhile. */
async function look() {
  const { queue, user } = state;
  try {
    const progress = await request(`api/queues/${queue.id}?user=${encodeURIComponent(user)}`);
    if (state.queue !== queue) return;
    showProgress(progress, user);
    if (!state.outbox.size) onBack();
    await state.rows.refresh();
  } catch (error) {
    if (!error.status) onAway();
  }
}

function askName(preset) {
  const dialog = $("name-dialog");
  $("name").value = preset;
  dialog.showModal();
  $("name").select();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve($("name").value.trim() || preset), { once: true }));
}

async function findUser() {
  const { session } = state;
  const known = new URLSearchParams(location.search).get("user")?.trim() || sessionStorage.getItem("starsift-user");
  const name = known || (session.read_only ? session.user : await askName(session.user));
  sessionStorage.setItem("starsift-user", name);
  return name;
}

async function changeUser() {
  const name = await askName(state.user);
  if (name === state.user) return;
  release();
  sessionStorage.setItem("starsift-user", name);
  history.replaceState(null, "", location.pathname + location.hash);
  location.reload();
}

async function sendSamp(what) {
  const { item, queue } = state;
  if (!item) return;
  const body = what === "table" ? { queue: queue.id } : { queue: queue.id, position: item.position };
  try {
    const { sent_to } = await request(`api/samp/${what}`, body);
    say(`Sent to ${sent_to} ${sent_to === 1 ? "program" : "programs"}.`, { kind: "good", ...dismiss });
  } catch (error) {
    say(error.message, dismiss);
  }
}

// ---- keys and buttons --------------------------------------------------------------------------------------

const ACTIONS = {
  ArrowRight: forward,
  n: forward,
  ArrowLeft: back,
  p: back,
  u: undo,
  f: flag,
  c: () => $("comment").focus(),
  z: zoom,
  s: nextSigma,
  l: toggleLines,
  "?": () => $("help").showModal(),
};
const REPEATING = new Set(["ArrowRight", "ArrowLeft", "n", "p"]); // a key held down labels only once

function onKey(event) {
  state.active = performance.now();
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { target, key } = event;
  const typing = target.matches("textarea, input:not([type=range], [type=checkbox])");
  const sliding = target.matches("[type=range]") && key.startsWith("Arrow");
  if (typing || sliding) return;
  const word = state.session.vocabulary[state.queue.search].find((candidate) => candidate.key === key);
  const action = word ? () => label(word.label) : ACTIONS[key];
  if (!action) return;
  event.preventDefault();
  if (event.repeat && !REPEATING.has(key)) return;
  action();
}

function onCommentKey(event) {
  if (event.key === "Escape") $("comment").value = state.item?.labels[state.user]?.comment ?? "";
  if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
    event.preventDefault();
    $("comment").blur();
  }
}

function onSecondOpinion() {
  state.secondOpinion = $("second").checked;
  forgetClaims();
  cutTrail();
  claim();
}

function wire() {
  const { outbox, plots, session } = state;
  document.addEventListener("keydown", onKey);
  document.addEventListener("pointerdown", () => (state.active = performance.now()));
  const clicks = { flag, undo, zoom, lines: toggleLines, previous: back, next: forward, who: changeUser, "help-button": ACTIONS["?"] };
  for (const [id, action] of Object.entries(clicks)) $(id).addEventListener("click", action);
  for (const what of ["spectrum", "table", "highlight"]) $(`samp-${what}`).addEventListener("click", () => sendSamp(what));
  for (const id of ["flag", "undo", "second", "comment"]) $(id).disabled = session.read_only;
  if (session.read_only) $("comment").placeholder = "";
  $("second").addEventListener("change", onSecondOpinion);
  for (const id of ["velocity", "velocity-number"]) {
    $(id).addEventListener("input", () => setVelocity(Number($(id).value)));
  }
  $("comment").addEventListener("change", saveComment);
  $("comment").addEventListener("keydown", onCommentKey);
  showSmoothing();
  plots.onmove = (event) => {
    $("readout").textContent = event ? `${event.x.toFixed(1)} Å` : "";
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    applyTheme();
    if (state.item) draw(state.item);
  });
  addEventListener("beforeunload", (event) => outbox.size && event.preventDefault());
  addEventListener("pagehide", release);
  setInterval(() => document.hidden || look(), POLL);
  setInterval(renew, RENEW);
}

function fetchRows(first, count) {
  return request(`api/queues/${state.queue.id}/rows?start=${first}&count=${count}`).then((answer) => answer.rows);
}

async function start() {
  const session = await patientGet("api/session", { onAway, onBack });
  if (!session.queues.length) return veil("There is nothing to review in this folder of results yet.");
  state.session = session;
  state.user = await findUser();
  $("who").textContent = state.user;
  state.plots = new SpectrumPlots();
  state.rows = new RowList(fetchRows, goTo);
  state.outbox = makeOutbox(openQueue);
  await state.plots.ready;
  wire();
  const [id, position] = decodeURIComponent(location.hash.slice(1)).split("/");
  const known = session.queues.find((candidate) => candidate.id === id);
  const at = Number(position);
  const valid = known && position && Number.isInteger(at) && at >= 0 && at < known.total;
  await openQueue(known?.id ?? session.queue ?? session.queues[0].id, valid ? at : null);
}

start().catch((error) => veil(`The page cannot start: ${error.message}`));
