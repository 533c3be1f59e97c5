// The review page: one queue, one person, one spectrum at a time or a gallery of many.

import { link, readAddress, setAddress } from "./address.js";
import { showAgreement } from "./agreement.js";
import { patientGet, request } from "./api.js";
import { dismiss, onAway, onBack, say, veil } from "./banner.js";
import { $ } from "./dom.js";
import { showFacts } from "./facts.js";
import { applyTheme } from "./figures.js";
import { showFilterChoices, showFilters, wireFilters } from "./filters.js";
import { Gallery } from "./gallery.js";
import { RENEW, claim, forgetClaims, forgetItems, release, renew } from "./items.js";
import { flag, label, labelAll, makeOutbox, saveComment, undo } from "./labelling.js";
import { toggleModel } from "./model.js";
import { showHelp, showLabelButtons } from "./opinions.js";
import { showProgress, showQueues } from "./queues.js";
import { RowList } from "./rows.js";
import { EMPTY, count, isEmpty, positionAt, select } from "./selection.js";
import { SpectrumPlots } from "./spectrumplots.js";
import { state } from "./state.js";
import { back, cutTrail, forgetTrail, forward, goTo } from "./steps.js";
import { showStory } from "./story.js";
import { draw, nextSigma, setVelocity, showSmoothing, toggleLines, zoom } from "./view.js";

const POLL = 15_000; // ms between looks at what others do

// ---- queues and people -------------------------------------------------------------------------------------

/** Open a queue, at a position or where it goes on for this person; of a query what it chooses. */
async function openQueue(id, position = null, query = EMPTY) {
  const { session } = state;
  if (state.queue?.id === id && position !== null) return show(position);
  release();
  const queue = session.queues.find((candidate) => candidate.id === id);
  Object.assign(state, { queue, item: null, seen: null, wanted: null, selection: null, saved: [], columns: new Map() });
  state.labelled.clear();
  forgetItems();
  forgetTrail();
  closeDrawers();
  const words = session.vocabulary[queue.search];
  showQueues(session.queues, id, (other) => other === state.queue.id || openQueue(other));
  showLabelButtons(words, give, session.read_only);
  showHelp(session.titles[queue.search], words);
  const described = describeColumns(queue, words);
  showSelection(EMPTY);
  if (!isEmpty(query)) {
    await described;
    await chooseOf(queue, query);
    if (state.queue !== queue) return;
  }
  look();
  if (position !== null) state.gallery.focus(position);
  if (!queue.total) return veil("This queue is empty.");
  if (position !== null) return goTo(position);
  if (state.selection) return count() && goTo(positionAt(0));
  if (!session.read_only) await claim();
  if (state.queue !== queue || state.wanted !== null) return;
  if (state.upcoming.length) return goTo(state.upcoming.shift());
  await goTo(0);
  if (!session.read_only && !state.away) say("Nothing is left for you in this queue.", { kind: "good", ...dismiss });
}

async function describeColumns(queue, words) {
  const { columns } = await patientGet(`api/queues/${queue.id}/columns`, { wanted: () => state.queue === queue, onAway, onBack });
  if (state.queue !== queue) return;
  state.columns = new Map(columns.map((column) => [column.name, column]));
  showFilterChoices(words);
  if (state.seen) showFacts(state.seen);
}

let asked = null; // the latest query: answers to older ones may come later

/** Show what a query chooses of the queue; false if it cannot be understood, or another one was asked since. */
async function chooseOf(queue, query) {
  asked = query;
  const current = () => state.queue === queue && asked === query;
  let selection;
  try {
    selection = await select(query);
  } catch (error) {
    if (current()) showFilters(query, error.status ? `${error.message}.` : "The server does not answer; try again.");
    return false;
  }
  if (!current()) return false;
  release();
  state.selection = selection;
  forgetTrail();
  forgetClaims();
  showSelection(query);
  return true;
}

function showSelection(query) {
  showFilters(query);
  state.rows.reset();
  state.gallery.reset();
  veil(count() ? null : "No spectrum of this queue meets the conditions.");
}

/** Another query: its first spectrum; of the whole queue the one that was on the screen. */
async function choose(query) {
  const { queue, wanted } = state;
  if (!(await chooseOf(queue, query)) || !count()) return;
  const position = state.selection ? positionAt(0) : (wanted ?? 0);
  state.gallery.focus(position); // before anything is waited for: keys act at once
  await goTo(position);
}

/** Show one spectrum. */
function show(position) {
  closeDrawers();
  if (state.gallery.open) setGallery(false);
  return position === null ? undefined : goTo(position);
}

function setGallery(open) {
  state.gallery.toggle(open);
  if (!open && state.item) draw(state.item); // sizes and labels may have changed
  if (state.item) setAddress(state.item.spectrum_id);
}

const give = (name) => (state.gallery.open ? state.session.read_only || state.gallery.label(name) : label(name));

async function copyLink() {
  try {
    await navigator.clipboard.writeText(link());
    say("The link is in the clipboard. It holds the secret token of this app.", { kind: "good", ...dismiss });
  } catch {
    say(`The browser does not let the page copy: ${link()}`, dismiss);
  }
}

// On small screens the columns at the sides slide in.
function toggleDrawer(id) {
  for (const side of ["side", "facts"]) {
    const open = side === id && !document.body.classList.contains(`${side}-open`);
    document.body.classList.toggle(`${side}-open`, open);
    $(`${side}-button`).setAttribute("aria-expanded", String(open));
  }
}

const closeDrawers = () => toggleDrawer(null);

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
  // A name on the command line is not asked for again; readers need none.
  const name = known || session.user || (session.read_only ? "" : await askName(""));
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
  m: toggleModel,
  e: showStory,
  g: () => setGallery(!state.gallery.open),
  "?": () => $("help").showModal(),
};
const IN_GALLERY = new Set(["g", "u", "?"]); // of these actions
const REPEATING = new Set(["ArrowRight", "ArrowLeft", "n", "p"]); // a key held down labels only once

function onKey(event) {
  state.active = performance.now();
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { target, key } = event;
  const typing = target.matches("textarea, select, input:not([type=range], [type=checkbox])");
  const sliding = target.matches("[type=range]") && key.startsWith("Arrow");
  const pressing = target.matches("button, a, summary, [type=checkbox]") && (key === "Enter" || key === " ");
  if (typing || sliding || pressing) return;
  if (key === "Escape" && document.body.matches(".side-open, .facts-open")) return closeDrawers();
  const { gallery } = state;
  if (gallery.open && gallery.onKey(event)) return event.preventDefault();
  const word = state.session.vocabulary[state.queue.search].find((candidate) => candidate.key === key);
  const action = word ? () => give(word.label) : (!gallery.open || IN_GALLERY.has(key)) && ACTIONS[key];
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
  const clicks = {
    flag,
    undo,
    zoom,
    lines: toggleLines,
    model: toggleModel,
    "story-button": showStory,
    previous: back,
    next: forward,
    who: changeUser,
    shade: closeDrawers,
    "help-button": ACTIONS["?"],
    "gallery-button": ACTIONS.g,
    "copy-link": copyLink,
    "side-button": () => toggleDrawer("side"),
    "facts-button": () => toggleDrawer("facts"),
    "agreement-button": () => showAgreement((people) => choose({ ...EMPTY, differ: people })),
  };
  for (const [id, action] of Object.entries(clicks)) $(id).addEventListener("click", action);
  for (const what of ["spectrum", "table", "highlight"]) $(`samp-${what}`).addEventListener("click", () => sendSamp(what));
  for (const id of ["flag", "undo", "second", "comment"]) $(id).disabled = session.read_only;
  if (session.read_only) $("comment").placeholder = "";
  wireFilters(choose);
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
    state.gallery.draw();
  });
  addEventListener("beforeunload", (event) => outbox.size && event.preventDefault());
  addEventListener("pagehide", release);
  setInterval(() => document.hidden || look(), POLL);
  setInterval(renew, RENEW);
}

function fetchRows(first, number) {
  const { queue, selection } = state;
  const which = selection
    ? { at: [...selection.positions.subarray(first, first + number)], show: selection.query.sort.replace(/^-/, "") }
    : { start: first, count: number };
  return request(`api/queues/${queue.id}/rows?${new URLSearchParams(which)}`).then((answer) => answer.rows);
}

/** The position of the spectrum that a link names; null and a message where the queue does not have it. */
async function findPosition(queue, spectrum) {
  if (!spectrum) return null;
  const url = `api/queues/${queue.id}/position?spectrum_id=${encodeURIComponent(spectrum)}`;
  const { position } = await patientGet(url, { onAway, onBack });
  if (position !== null) return position;
  // Links of earlier versions have positions.
  if (/^\d+$/.test(spectrum) && Number(spectrum) < queue.total) return Number(spectrum);
  say(`This link leads nowhere: “${queue.title}” has no spectrum “${spectrum}”.`, dismiss);
  return null;
}

async function start() {
  const session = await patientGet("api/session", { onAway, onBack });
  if (!session.queues.length) return veil("There is nothing to review in this folder of results yet.");
  state.session = session;
  state.user = await findUser();
  $("who").textContent = state.user;
  state.plots = new SpectrumPlots();
  state.rows = new RowList(fetchRows, show);
  state.gallery = new Gallery(show, labelAll);
  state.rows.onchange = () => state.gallery.draw();
  state.outbox = makeOutbox(openQueue);
  await state.plots.ready;
  wire();
  await follow();
  addEventListener("hashchange", follow);
}

/** Open what the address of the page names. */
async function follow() {
  const { session } = state;
  const { queue: id, spectrum, query, gallery } = readAddress();
  const known = session.queues.find((candidate) => candidate.id === id);
  if (id && !known) say(`This link leads nowhere: there is no queue “${id}” here.`, dismiss);
  const queue = known ?? session.queues.find((candidate) => candidate.id === session.queue) ?? session.queues[0];
  const position = await findPosition(queue, known ? spectrum : "");
  state.queue = null;
  state.gallery.toggle(gallery);
  await openQueue(queue.id, position, query);
}

start().catch((error) => veil(`The page cannot start: ${error.message}`));
