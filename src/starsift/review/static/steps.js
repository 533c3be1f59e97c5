// From one spectrum to the next, and back.

import { dismiss, say } from "./banner.js";
import { $ } from "./dom.js";
import { claim } from "./items.js";
import { count, placeOf, positionAt } from "./selection.js";
import { state } from "./state.js";
import { show } from "./view.js";

const TRAIL = 500; // positions remembered for going back

let trail = []; // positions seen, in order
let place = -1; // in the trail

/** Another queue. */
export function forgetTrail() {
  [trail, place] = [[], -1];
}

/** What would come after the spectrum on the screen is decided anew. */
export function cutTrail() {
  trail.length = place + 1;
}

/** Put a position before the spectrum on the screen, so that going on leads back to that. */
export function insertBefore(position) {
  if (!trail.includes(position)) trail.splice(place, 0, position);
}

export function goTo(position) {
  const known = trail.indexOf(position);
  if (known >= 0) place = known;
  else {
    trail.splice(++place, 0, position);
    if (trail.length > TRAIL) place -= trail.splice(0, trail.length - TRAIL).length;
  }
  return show(position);
}

export async function forward() {
  $("comment").blur();
  if (place < trail.length - 1) return show(trail[++place]);
  const from = state.wanted;
  if (state.session.read_only || state.selection) {
    // Who chooses spectra wants these, whoever has labelled them.
    const next = placeOf(from) + 1;
    const whole = state.selection ? "selection" : "queue";
    return next < count() ? goTo(positionAt(next)) : say(`This was the last spectrum of the ${whole}.`, { kind: "good", ...dismiss });
  }
  if (!state.upcoming.length) await claim();
  if (state.wanted !== from) return;
  while (state.upcoming.length) {
    const next = state.upcoming.shift();
    if (next !== from && !state.labelled.has(next)) return goTo(next);
  }
  if (state.away) return;
  const hint = state.secondOpinion ? "" : " Others may still be looking at some; tick “Second opinion” to see what others labelled.";
  say(`Nothing is left for you in this queue.${hint}`, { kind: "good", ...dismiss });
}

export function back() {
  $("comment").blur();
  if (place > 0) return show(trail[--place]);
  const before = placeOf(state.wanted) - 1;
  if (before >= 0) {
    trail.unshift(positionAt(before));
    return show(trail[0]);
  }
}
