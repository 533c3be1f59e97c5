// Items: read ahead, leased so that two people do not get the same one.

import { patientGet, request } from "./api.js";
import { decodeSpectrum } from "./arrays.js";
import { dismiss, onAway, onBack, say } from "./banner.js";
import { decodeExtras } from "./extras.js";
import { count, placeOf, positionAt } from "./selection.js";
import { state } from "./state.js";

const AHEAD = 5; // spectra read before they are shown
const CLAIM = 5; // positions leased at a time; few, for others want some of a short queue
const KEPT = 20; // spectra in memory
const CLAIM_LIMIT = 20; // the server's
export const RENEW = 240_000; // ms between renewals of leases (the server's last 600 s)

const items = new Map(); // position -> promise of an item; the latest used last
let claiming = null; // the claim on its way

/** Another queue, or another kind of candidates. */
export function forgetItems() {
  items.clear();
  forgetClaims();
}

export function forgetClaims() {
  state.upcoming = [];
  claiming = null;
}

/** An item with its arrays decoded; the base64 texts are let go. */
function decodeItem(answer) {
  const { flux, error, good, ...item } = answer;
  return { ...item, extras: decodeExtras(item.extras), spectrum: decodeSpectrum(answer) };
}

/** The item at a position, from memory or the server. */
export function load(position) {
  let promise = items.get(position);
  if (promise) items.delete(position);
  else {
    const from = state.queue.id;
    promise = patientGet(`api/queues/${from}/items/${position}`, {
      wanted: () => state.queue.id === from && items.has(position),
      onAway,
      onBack,
    }).then(decodeItem);
    promise.catch(() => items.get(position) === promise && items.delete(position));
  }
  items.set(position, promise);
  for (const old of items.keys()) {
    if (items.size <= KEPT) break;
    if (old !== state.wanted) items.delete(old);
  }
  return promise;
}

/** Several items have changed on the server. */
export const forget = (positions) => positions.forEach((position) => items.delete(position));

/** The item at a position if it is in memory. */
export const loaded = (position) => items.get(position)?.catch(() => null);

export const loadAhead = () => state.upcoming.slice(0, AHEAD).forEach(load);

/** Lease the next positions when few are left; of a selection nothing is leased. */
export function claim() {
  if (state.selection) {
    const next = placeOf(state.wanted ?? -1) + 1;
    const places = Array.from({ length: Math.min(AHEAD, count() - next) }, (_, i) => next + i);
    state.upcoming = places.map(positionAt);
    return loadAhead();
  }
  if (state.session.read_only || state.upcoming.length >= AHEAD || claiming) return claiming;
  const from = state.queue.id;
  // Labels on their way first: the server would hand out again what it does not know to be labelled. From the
  // spectrum on the screen on, so that a reload leases that too.
  const mine = state.outbox
    .idle()
    .then(() => requestClaim(CLAIM, state.upcoming.at(-1) ?? (state.wanted ?? 0) - 1))
    .then((positions) => {
      if (from !== state.queue.id) return;
      const known = new Set([...state.upcoming, state.wanted, ...state.labelled]);
      state.upcoming.push(...positions.filter((position) => !known.has(position)));
      loadAhead();
      onBack();
    })
    .catch((error) => {
      if (error.status) say(`The next spectra cannot be reserved: ${error.message}`, dismiss);
      else onAway();
    })
    .finally(() => claiming === mine && (claiming = null));
  return (claiming = mine);
}

async function requestClaim(count, after) {
  const body = { user: state.user, count, second_opinion: state.secondOpinion, after };
  return (await request(`api/queues/${state.queue.id}/claim`, body)).positions;
}

/** Leases end; someone who looks at one spectrum for long keeps it, and the next ones. */
export async function renew() {
  const { queue, selection, session, wanted, upcoming } = state;
  if (session.read_only || selection || !queue || wanted === null || performance.now() - state.active > 2 * RENEW) return;
  try {
    const positions = await requestClaim(Math.min(upcoming.length + 1, CLAIM_LIMIT), wanted - 1);
    if (wanted !== state.wanted) return;
    state.upcoming = positions.filter((position) => position !== wanted && !state.labelled.has(position));
  } catch {
    // The next claim says that the server is away.
  }
}

/** Give up the leases of this queue. */
export function release() {
  if (!state.queue || state.session.read_only) return;
  request(`api/queues/${state.queue.id}/release`, { user: state.user }, { keepalive: true }).catch(() => {});
}
