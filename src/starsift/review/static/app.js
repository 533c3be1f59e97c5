// The review page: one queue, one person, one spectrum at a time.

import { Outbox, decodeItem, decodeSpectrum, patientGet, request } from "./api.js";
import * as panels from "./panels.js";
import { $, h } from "./panels.js";
import { CcfPlots, NearestPlot, SpectrumPlots, applyTheme, drawImages, painted } from "./plot.js";

const AHEAD = 5; // spectra read before they are asked for
const CLAIM = 5; // positions leased at a time; few, for others want some of a short queue
const KEPT = 20; // spectra in memory
const TRAIL = 500; // positions remembered for going back
const POLL = 15_000; // ms between looks at what others do
const RENEW = 240_000; // ms between renewals of leases (the server's last 600 s)
const GOOD = 6_000; // ms that good news stay; bad news stay until they are over or dismissed
const SIGMAS = [0, 1, 2, 4]; // pixels
const OVERLAYS = ["overlay-1", "overlay-2", "overlay-3", "overlay-4"];

let session, user, queue, rows, outbox, plots;
let item = null; // the latest that was drawn
let seen = null; // the item that people see: keys act on no other
let leaving = false; // labelled, and not known yet what comes next
let wanted = null; // position asked for: the item's, or one on its way
let second = false; // second opinions
let upcoming = []; // leased positions, next first
let claiming = null; // the claim on its way
let trail = []; // positions seen, in order
let place = -1; // in the trail
const labelled = new Set(); // positions of this queue that this person labelled here
const items = new Map(); // position -> promise of an item; the latest used last
const extras = {}; // plots of a path, made when first needed
let sigma = 0, marks = true, drawn = new Map(); // key of another exposure -> its spectrum
let active = 0; // time of the last key or click

// ---- the server is away, or refuses ------------------------------------------------------------------------

let fading;

function say(text, { kind = "alarm", button, action } = {}) {
  $("banner").className = kind;
  $("banner-text").textContent = text;
  $("banner-button").hidden = !button;
  $("banner-button").textContent = button ?? "";
  $("banner-button").onclick = action ?? null;
  $("banner").hidden = false;
  clearTimeout(fading);
  if (kind === "good") fading = setTimeout(() => ($("banner").hidden = true), GOOD);
}

const dismiss = { button: "Dismiss", action: () => ($("banner").hidden = true) };
let away = false;
let returning = false; // back, and still saving what waited

function onAway(detail) {
  away = true;
  const n = outbox?.size ?? 0;
  const waiting = n
    ? `${n} ${n === 1 ? "change is" : "changes are"} NOT SAVED YET and kept in this page. Leave it open: saving is tried again and again.`
    : "Nothing is lost; the page tries again.";
  say(`${detail ?? "The server is away."} ${waiting}`);
}

function onBack() {
  if (!away) return;
  away = false;
  returning = true;
  say("The server is back; saving.", { kind: "good" });
  allSaved();
}

function allSaved() {
  if (!returning || outbox?.size) return;
  returning = false;
  say("The server is back; everything is saved.", { kind: "good", ...dismiss });
}

function makeOutbox() {
  return new Outbox(`starsift-outbox-${user}`, {
    saved(entry, answer) {
      onBack();
      allSaved();
      if (entry.queue !== queue?.id) return;
      panels.showProgress(answer.progress, user);
      learn(entry.position, answer);
      const { label } = entry.body;
      if (label) note(entry.position, `${label}, saved`, answer.labels);
    },
    failing(error) {
      // A server that answers says why (a full disk, say); one that does not is away.
      onAway(error.status ? `Saving failed: ${error.message}.` : undefined);
    },
    refused(entry, detail) {
      if (entry.queue === queue?.id) labelled.delete(entry.position);
      say(`Spectrum ${entry.position + 1} was NOT SAVED: ${detail}`, {
        button: "Go to it",
        action: () => (($("banner").hidden = true), open(entry.queue, entry.position)),
      });
    },
  });
}

/** The server's answer on what people said of a spectrum, into every place that shows it. */
async function learn(position, { labels, history }) {
  rows.update(position, labels);
  const known = await items.get(position)?.catch(() => null);
  if (!known) return;
  known.labels = labels;
  known.history = history;
  if (known !== item) return;
  if (document.activeElement !== $("comment")) panels.showLabels(item, user, session.read_only);
  panels.showOpinions(item, user);
}

function note(position, text, labels) {
  const others = Object.entries(labels ?? {}).filter(([who, state]) => who !== user && state.label);
  const disputed = panels.isDisputed(labels ?? {});
  $("saved").className = disputed ? "alarm" : "";
  $("saved").replaceChildren(
    h("button", { type: "button", className: "quiet", onclick: () => goTo(position) }, `#${position + 1}`),
    ` ${text}`,
    disputed ? ` · ${others.map(([who, state]) => `${who}: ${state.label}`).join(", ")}` : "",
  );
}

// ---- items -------------------------------------------------------------------------------------------------

/** The item at a position, from memory or the server. */
function load(position) {
  let promise = items.get(position);
  if (promise) items.delete(position);
  else {
    const from = queue.id;
    promise = patientGet(`api/queues/${from}/items/${position}`, {
      wanted: () => queue.id === from && items.has(position),
      onAway,
      onBack,
    }).then(decodeItem);
    promise.catch(() => items.get(position) === promise && items.delete(position));
  }
  items.set(position, promise);
  for (const old of items.keys()) {
    if (items.size <= KEPT) break;
    if (old !== wanted) items.delete(old);
  }
  return promise;
}

/** Lease the next positions when few are left. */
function claim() {
  if (session.read_only || upcoming.length >= AHEAD || claiming) return claiming;
  const from = queue.id;
  // Labels on their way first: the server would hand out again what it does not know to be labelled. From the
  // spectrum on the screen on, so that a reload leases that too.
  const mine = outbox
    .idle()
    .then(() => request(`api/queues/${from}/claim`, { user, count: CLAIM, second_opinion: second, after: upcoming.at(-1) ?? (wanted ?? 0) - 1 }))
    .then(({ positions }) => {
      if (from !== queue.id) return;
      const known = new Set([...upcoming, wanted, ...labelled]);
      upcoming.push(...positions.filter((position) => !known.has(position)));
      upcoming.slice(0, AHEAD).forEach(load);
      onBack();
    })
    .catch((error) => {
      if (error.status) say(`The next spectra could not be had: ${error.message}`, dismiss);
      else onAway();
    })
    .finally(() => claiming === mine && (claiming = null));
  return (claiming = mine);
}

/** Leases end; someone who looks at one spectrum for long keeps it, and the next ones. */
async function renew() {
  if (session.read_only || !queue || wanted === null || performance.now() - active > 2 * RENEW) return;
  const held = [wanted, ...upcoming];
  try {
    const body = { user, count: Math.min(held.length, 20), second_opinion: second, after: wanted - 1 };
    const { positions } = await request(`api/queues/${queue.id}/claim`, body);
    if (held[0] !== wanted) return;
    upcoming = positions.filter((position) => position !== wanted && !labelled.has(position));
  } catch {
    // The next claim says that the server is away.
  }
}

// ---- drawing -----------------------------------------------------------------------------------------------

function veil(text) {
  $("veil").hidden = !text;
  $("veil").textContent = text ?? "";
}

/** Show the spectrum at a position as soon as it is here. Until then no key labels anything. */
async function show(position) {
  wanted = position;
  leaving = false;
  const from = queue.id;
  const slow = setTimeout(() => wanted === position && queue.id === from && veil("Reading the spectrum …"), 150);
  try {
    const found = await load(position);
    if (wanted !== position || queue.id !== from) return;
    clearTimeout(slow);
    veil(null);
    await draw(found);
    if (wanted !== position || queue.id !== from) return;
  } catch (error) {
    if (wanted !== position || queue.id !== from) return;
    item = null;
    veil(`Spectrum ${position + 1} cannot be shown: ${error.message}. The next one is at →.`);
  } finally {
    clearTimeout(slow);
  }
  rows.select(position);
  history.replaceState(null, "", `#${queue.id}/${position}`);
  claim();
  upcoming.slice(0, AHEAD).forEach(load);
}

function draw(found) {
  item = found;
  drawn = new Map();
  const path = queue.path;
  panels.showHeading(item, queue, queue.total);
  const window_ = item.extras?.window ?? session.windows[path];
  plots.show(item.spectrum, { window: window_, sigma, lines: shownLines(), velocity: item.rv ?? 0 });
  showVelocity(item.rv ?? 0);
  for (const name of ["binaries", "mstars", "bhb"]) {
    $(`extra-${name}`).hidden = !(name === path && item.extras);
  }
  $("below").className = $("below").querySelector(".extra:not([hidden])") ? `with-${path}` : "";
  if (item.extras && path === "binaries") (extras.ccf ??= new CcfPlots()).show(item.extras);
  if (item.extras && path === "mstars") (extras.nearest ??= new NearestPlot()).show(item.extras, item.spectrum);
  if (item.extras && path === "bhb") drawImages($("extra-bhb"), item.extras);
  panels.showLabels(item, user, session.read_only);
  return painted().then(() => {
    if (item !== found) return;
    seen = found;
    window.starsiftReady = performance.now();
    // What is less urgent than the spectrum.
    panels.showOpinions(item, user);
    panels.showFacts(item);
    panels.showOthers(item.others, drawnColours(), toggleOther);
    document.body.dataset.queue = queue.id;
    document.body.dataset.position = found.position;
  });
}

const shownLines = () => (marks ? session.lines[queue.path] : []);

function showVelocity(velocity) {
  $("velocity").value = Math.round(velocity);
  $("velocity-number").value = Math.round(velocity);
}

function setVelocity(velocity) {
  showVelocity(velocity);
  plots.setLines(shownLines(), velocity);
}

const drawnColours = () => new Map([...drawn].map(([key, spectrum]) => [key, spectrum.colour]));

async function toggleOther(key) {
  const of = item;
  if (!drawn.delete(key)) {
    const free = OVERLAYS.find((colour) => ![...drawnColours().values()].includes(colour));
    if (!free) return say("Four other exposures are drawn already; click one to remove it.", dismiss);
    try {
      const answer = await request(`api/queues/${queue.id}/items/${of.position}/others/${encodeURIComponent(key)}`);
      if (item !== of) return;
      drawn.set(key, { ...decodeSpectrum(answer), colour: free });
    } catch (error) {
      return say(`That exposure cannot be drawn: ${error.message}`, dismiss);
    }
  }
  plots.overlay([...drawn.values()]);
  panels.showOthers(item.others, drawnColours(), toggleOther);
}

// ---- going on and back -------------------------------------------------------------------------------------

function goTo(position) {
  const known = trail.indexOf(position);
  if (known >= 0) place = known;
  else {
    trail.splice(++place, 0, position);
    if (trail.length > TRAIL) place -= trail.splice(0, trail.length - TRAIL).length;
  }
  return show(position);
}

async function forward() {
  $("comment").blur();
  if (place < trail.length - 1) return show(trail[++place]);
  if (session.read_only) {
    const next = (wanted ?? -1) + 1;
    return next < queue.total ? goTo(next) : say("This was the last spectrum of the queue.", { kind: "good", ...dismiss });
  }
  const from = wanted;
  if (!upcoming.length) await claim();
  if (wanted !== from) return;
  while (upcoming.length) {
    const next = upcoming.shift();
    if (next !== wanted && !labelled.has(next)) return goTo(next);
  }
  if (!away) {
    const hint = second ? "" : " Others may still be looking at some; tick “Second opinion” to see what others labelled.";
    say(`Nothing is left for you in this queue.${hint}`, { kind: "good", ...dismiss });
  }
}

function back() {
  $("comment").blur();
  if (place > 0) return show(trail[--place]);
  if (wanted > 0) {
    trail.unshift(wanted - 1);
    return show(trail[0]);
  }
}

/** A key acts on the spectrum that is painted, never on one that is on its way. */
const actable = () => seen && seen === item && seen.position === wanted && !leaving && !session.read_only;

function give(change) {
  const { position } = item;
  const now = { ...(item.labels[user] ?? {}), ...change };
  item.labels = { ...item.labels, [user]: now };
  outbox.add({ queue: queue.id, position, body: { user, ...change } });
}

async function label(name) {
  if (!actable()) return;
  const of = item;
  give({ label: name });
  labelled.add(of.position);
  note(of.position, `${name} …`);
  leaving = true;
  await forward().finally(() => (leaving = false));
  if (item === of) panels.showLabels(item, user, false); // nowhere to go on to
}

function flag() {
  if (!actable()) return;
  give({ flag: !item.labels[user]?.flag });
  panels.showLabels(item, user, false);
}

function saveComment() {
  if (!actable()) return;
  const text = $("comment").value.trim();
  if (text === (item.labels[user]?.comment ?? "")) return;
  give({ comment: text });
}

async function undo() {
  if (session.read_only) return;
  if (outbox.size && away) return; // the banner says what waits
  await outbox.idle();
  try {
    const answer = await request(`api/queues/${queue.id}/undo`, { user });
    if (answer.position === null) {
      $("saved").className = "";
      return void ($("saved").textContent = "Nothing to undo");
    }
    if (!answer.labels[user]?.label) labelled.delete(answer.position);
    panels.showProgress(answer.progress, user);
    await learn(answer.position, answer);
    $("saved").className = "";
    $("saved").textContent = `#${answer.position + 1} undone`;
    // Before the spectrum that was on the screen, so that going on leads back to that.
    if (!trail.includes(answer.position)) trail.splice(place, 0, answer.position);
    await goTo(answer.position);
  } catch (error) {
    say(`Nothing was undone: ${error.status ? error.message : "the server is away"}. Press u again when it is back.`, dismiss);
  }
}

// ---- queues and people -------------------------------------------------------------------------------------

function release() {
  if (!queue || session.read_only) return;
  request(`api/queues/${queue.id}/release`, { user }, { keepalive: true }).catch(() => {});
}

async function open(id, position = null) {
  if (queue?.id === id && position !== null) return goTo(position);
  if (queue) release();
  queue = session.queues.find((candidate) => candidate.id === id);
  items.clear();
  labelled.clear();
  [item, seen, wanted, upcoming, trail, place, claiming] = [null, null, null, [], [], -1, null];
  panels.showQueues(session.queues, id, (other) => other === queue.id || open(other));
  panels.showLabelButtons(session.vocabulary[queue.path], label, session.read_only);
  panels.showHelp(queue.path, session.vocabulary[queue.path]);
  rows.reset(queue.total);
  look();
  if (!queue.total) return veil("This queue is empty.");
  if (position !== null) return goTo(position);
  if (!session.read_only) await claim();
  if (queue.id !== id || wanted !== null) return;
  if (upcoming.length) return goTo(upcoming.shift());
  await goTo(0);
  if (!session.read_only && !away) say("Nothing is left for you in this queue.", { kind: "good", ...dismiss });
}

/** What others did meanwhile. */
async function look() {
  const from = queue.id;
  try {
    const progress = await request(`api/queues/${from}?user=${encodeURIComponent(user)}`);
    if (queue.id !== from) return;
    panels.showProgress(progress, user);
    if (!outbox.size) onBack();
    await rows.refresh();
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
  const given = new URLSearchParams(location.search).get("user")?.trim() || sessionStorage.getItem("starsift-user");
  const name = given || (session.read_only ? session.user : await askName(session.user));
  sessionStorage.setItem("starsift-user", name);
  return name;
}

// ---- keys and buttons --------------------------------------------------------------------------------------

function zoom() {
  plots.zoom(!plots.zoomed);
  $("zoom").setAttribute("aria-pressed", String(plots.zoomed));
}

function toggleLines() {
  marks = !marks;
  $("lines").setAttribute("aria-pressed", String(marks));
  setVelocity(Number($("velocity").value));
}

function setSigma(value) {
  sigma = value;
  for (const button of $("smoothing").children) {
    button.setAttribute("aria-checked", String(Number(button.value) === sigma));
  }
  if (item) plots.smooth(sigma);
}

const ACTIONS = {
  ArrowRight: forward,
  n: forward,
  ArrowLeft: back,
  p: back,
  u: undo,
  f: flag,
  c: () => $("comment").focus(),
  z: zoom,
  s: () => setSigma(SIGMAS[(SIGMAS.indexOf(sigma) + 1) % SIGMAS.length]),
  l: toggleLines,
  "?": () => $("help").showModal(),
};
const REPEATING = new Set(["ArrowRight", "ArrowLeft", "n", "p"]); // a key held down labels only once

function onKey(event) {
  active = performance.now();
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { target, key } = event;
  const typing = target.matches("textarea, input:not([type=range], [type=checkbox])");
  const sliding = target.matches("[type=range]") && key.startsWith("Arrow");
  if (typing || sliding) return;
  const entry = session.vocabulary[queue.path].find((candidate) => candidate.key === key);
  const action = entry ? () => label(entry.label) : ACTIONS[key];
  if (!action) return;
  event.preventDefault();
  if (event.repeat && !REPEATING.has(key)) return;
  action();
}

function wire() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("pointerdown", () => (active = performance.now()));
  const clicks = { flag, undo, zoom, lines: toggleLines, previous: back, next: forward, "help-button": ACTIONS["?"] };
  for (const [id, action] of Object.entries(clicks)) $(id).addEventListener("click", action);
  for (const id of ["flag", "undo", "second", "comment"]) $(id).disabled = session.read_only;
  if (session.read_only) $("comment").placeholder = "";
  $("second").addEventListener("change", () => {
    second = $("second").checked;
    [upcoming, claiming] = [[], null];
    trail.length = place + 1;
    claim();
  });
  $("smoothing").replaceChildren(
    ...SIGMAS.map((value) =>
      h("button", { type: "button", role: "radio", value, "aria-checked": String(value === sigma), onclick: () => setSigma(value) }, value ? `${value} px` : "Raw"),
    ),
    h("kbd", {}, "s"),
  );
  for (const id of ["velocity", "velocity-number"]) {
    $(id).addEventListener("input", () => setVelocity(Number($(id).value)));
  }
  $("comment").addEventListener("change", saveComment);
  $("comment").addEventListener("keydown", (event) => {
    if (event.key === "Escape") $("comment").value = item?.labels[user]?.comment ?? "";
    if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
      event.preventDefault();
      $("comment").blur();
    }
  });
  $("who").addEventListener("click", async () => {
    const name = await askName(user);
    if (name === user) return;
    release();
    sessionStorage.setItem("starsift-user", name);
    history.replaceState(null, "", location.pathname + location.hash);
    location.reload();
  });
  for (const what of ["spectrum", "table", "highlight"]) {
    $(`samp-${what}`).addEventListener("click", () => samp(what));
  }
  plots.onmove = (event) => {
    $("readout").textContent = event ? `${event.x.toFixed(1)} Å` : "";
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    applyTheme();
    if (item) draw(item);
  });
  addEventListener("beforeunload", (event) => outbox.size && event.preventDefault());
  addEventListener("pagehide", release);
  setInterval(() => document.hidden || look(), POLL);
  setInterval(renew, RENEW);
}

async function samp(what) {
  if (!item) return;
  const body = what === "table" ? { queue: queue.id } : { queue: queue.id, position: item.position };
  try {
    const { sent_to } = await request(`api/samp/${what}`, body);
    say(`Sent to ${sent_to} ${sent_to === 1 ? "program" : "programs"}.`, { kind: "good", ...dismiss });
  } catch (error) {
    say(error.message, dismiss);
  }
}

async function start() {
  session = await patientGet("api/session", { onAway, onBack });
  if (!session.queues.length) return veil("There is nothing to review in this folder of results yet.");
  user = await findUser();
  $("who").textContent = user;
  plots = new SpectrumPlots();
  rows = new panels.RowList(
    (first, count) => request(`api/queues/${queue.id}/rows?start=${first}&count=${count}`).then((answer) => answer.rows),
    goTo,
  );
  outbox = makeOutbox();
  await plots.ready;
  wire();
  const [id, position] = decodeURIComponent(location.hash.slice(1)).split("/");
  const known = session.queues.find((candidate) => candidate.id === id);
  const at = Number(position);
  const valid = known && position && Number.isInteger(at) && at >= 0 && at < known.total;
  await open(known?.id ?? session.queue ?? session.queues[0].id, valid ? at : null);
}

start().catch((error) => veil(`The page cannot start: ${error.message}`));
