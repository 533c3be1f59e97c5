// The part of a queue that is shown, and its order. Without a selection it is the whole queue.

import { request } from "./api.js";
import { integers } from "./arrays.js";
import { state } from "./state.js";

export const EMPTY = { where: [], label: "", differ: [], find: "", sort: "" };

export const isEmpty = (query) => !String(toParameters(query));

/** A query as parameters of a URL, of a link or for the server; what is empty is left out. */
export function toParameters(query) {
  const pairs = Object.keys(EMPTY).flatMap((name) => [query[name]].flat().map((value) => [name, value]));
  return new URLSearchParams(pairs.filter(([, value]) => value));
}

/** A query from the parameters of a link. */
export function fromParameters(parameters) {
  const entry = ([name, empty]) => [name, Array.isArray(empty) ? parameters.getAll(name) : (parameters.get(name) ?? empty)];
  return Object.fromEntries(Object.entries(EMPTY).map(entry));
}

/** Ask the server what a query chooses; null where it is empty, or another queue was opened meanwhile. */
export async function select(query) {
  if (isEmpty(query)) return null;
  const { queue, user } = state;
  const parameters = toParameters(query);
  parameters.set("user", user);
  const answer = await request(`api/queues/${queue.id}/selection?${parameters}`);
  const positions = integers(answer.positions);
  const places = new Map();
  positions.forEach((position, place) => places.set(position, place));
  return { query, positions, places };
}

export const count = () => state.selection?.positions.length ?? state.queue.total;
export const positionAt = (place) => (state.selection ? state.selection.positions[place] : place);
export const placeOf = (position) => (state.selection ? (state.selection.places.get(position) ?? -1) : position);
