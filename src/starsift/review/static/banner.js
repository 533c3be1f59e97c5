// Messages over the spectrum: the server is away or refuses, or a queue is at its end.

import { $ } from "./dom.js";
import { state } from "./state.js";

const GOOD = 6_000; // ms that good news stay; bad news stay until they are over or dismissed

let fading;
let returning = false; // back, and still saving what waited

export function say(text, { kind = "alarm", button, action } = {}) {
  $("banner").className = kind;
  $("banner-text").textContent = text;
  $("banner-button").hidden = !button;
  $("banner-button").textContent = button ?? "";
  $("banner-button").onclick = action ?? null;
  $("banner").hidden = false;
  clearTimeout(fading);
  if (kind === "good") fading = setTimeout(hide, GOOD);
}

export const hide = () => ($("banner").hidden = true);
export const dismiss = { button: "Dismiss", action: hide };

/** Cover the plots with a text; without one uncover them. */
export function veil(text) {
  $("veil").hidden = !text;
  $("veil").textContent = text ?? "";
}

export function onAway(detail) {
  state.away = true;
  const n = state.outbox?.size ?? 0;
  const waiting = n
    ? `${n} ${n === 1 ? "change is" : "changes are"} NOT SAVED YET and kept in this page. Leave it open: saving is tried again and again.`
    : "Nothing is lost; the page tries again.";
  say(`${detail ?? "The server does not answer."} ${waiting}`);
}

export function onBack() {
  if (!state.away) return;
  state.away = false;
  returning = true;
  say("The server answers again; saving.", { kind: "good" });
  allSaved();
}

export function allSaved() {
  if (!returning || state.outbox?.size) return;
  returning = false;
  say("The server answers again; everything is saved.", { kind: "good", ...dismiss });
}
