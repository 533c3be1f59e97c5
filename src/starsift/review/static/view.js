// Drawing of the item on the screen.

import { setAddress } from "./address.js";
import { request } from "./api.js";
import { decodeSpectrum } from "./arrays.js";
import { dismiss, say, veil } from "./banner.js";
import { $, h } from "./dom.js";
import { showExtras } from "./extras.js";
import { showFacts, showHeading, showOthers } from "./facts.js";
import { painted } from "./figures.js";
import { claim, load, loadAhead } from "./items.js";
import { showModel } from "./model.js";
import { showLabels, showOpinions } from "./opinions.js";
import { state } from "./state.js";

const SIGMAS = [0, 1, 2, 4]; // pixels
const OVERLAYS = ["overlay-1", "overlay-2", "overlay-3", "overlay-4"];

let sigma = 0;
let marks = true; // of spectral lines
let drawn = new Map(); // key of another exposure -> its spectrum

/** Show the spectrum at a position as soon as it is here. Until then no key labels anything. */
export async function show(position) {
  const { queue } = state;
  state.wanted = position;
  state.leaving = false;
  const current = () => state.wanted === position && state.queue === queue;
  const slow = setTimeout(() => current() && veil("Reading the spectrum …"), 150);
  try {
    const item = await load(position);
    if (!current()) return;
    clearTimeout(slow);
    veil(null);
    await draw(item);
    if (!current()) return;
  } catch (error) {
    if (!current()) return;
    state.item = null;
    veil(`Spectrum ${position + 1} cannot be shown: ${error.message}. The next one is at →.`);
  } finally {
    clearTimeout(slow);
  }
  state.rows.select(position);
  if (state.item) setAddress(state.item.spectrum_id);
  claim();
  loadAhead();
}

export function draw(item) {
  const { plots, queue, session, user } = state;
  state.item = item;
  drawn = new Map();
  showHeading(item, queue);
  const window = session.windows[queue.search];
  plots.show(item.spectrum, { window, sigma, lines: shownLines(), velocity: item.rv ?? 0, unit: item.flux_unit });
  showVelocity(item.rv ?? 0);
  showExtras(item);
  showLabels(item, user, session.read_only);
  return painted().then(() => {
    if (state.item !== item) return;
    state.seen = item;
    globalThis.starsiftReady = performance.now();
    // Less urgent than the spectrum.
    showOpinions(item, user);
    showFacts(item);
    showOthers(item.others, drawnColours(), toggleOther);
    showModel(item);
    document.body.dataset.queue = queue.id;
    document.body.dataset.position = item.position;
  });
}

// ---- lines, smoothing, zoom --------------------------------------------------------------------------------

const shownLines = () => (marks ? state.session.lines[state.queue.search] : []);

function showVelocity(velocity) {
  $("velocity").value = Math.round(velocity);
  $("velocity-number").value = Math.round(velocity);
}

export function setVelocity(velocity) {
  showVelocity(velocity);
  state.plots.setLines(shownLines(), velocity);
}

export function toggleLines() {
  marks = !marks;
  $("lines").setAttribute("aria-pressed", String(marks));
  setVelocity(Number($("velocity").value));
}

export function zoom() {
  state.plots.zoom(!state.plots.zoomed);
  $("zoom").setAttribute("aria-pressed", String(state.plots.zoomed));
}

function setSigma(value) {
  sigma = value;
  for (const button of $("smoothing").children) {
    button.setAttribute("aria-checked", String(Number(button.value) === sigma));
  }
  if (state.item) state.plots.smooth(sigma);
}

export const nextSigma = () => setSigma(SIGMAS[(SIGMAS.indexOf(sigma) + 1) % SIGMAS.length]);

export function showSmoothing() {
  $("smoothing").replaceChildren(
    ...SIGMAS.map((value) =>
      h("button", { type: "button", role: "radio", value, "aria-checked": String(value === sigma), onclick: () => setSigma(value) }, value ? `${value} px` : "Raw"),
    ),
    h("kbd", {}, "s"),
  );
}

// ---- other exposures ---------------------------------------------------------------------------------------

const drawnColours = () => new Map([...drawn].map(([key, spectrum]) => [key, spectrum.colour]));

async function toggleOther(key) {
  const { item, queue } = state;
  if (!drawn.delete(key)) {
    const free = OVERLAYS.find((colour) => ![...drawnColours().values()].includes(colour));
    if (!free) return say("Four other exposures are drawn already; click one to remove it.", dismiss);
    try {
      const answer = await request(`api/queues/${queue.id}/items/${item.position}/others/${encodeURIComponent(key)}`);
      if (state.item !== item) return;
      drawn.set(key, { ...decodeSpectrum(answer), colour: free });
    } catch (error) {
      return say(`That exposure cannot be drawn: ${error.message}`, dismiss);
    }
  }
  state.plots.overlay([...drawn.values()]);
  showOthers(item.others, drawnColours(), toggleOther);
}
