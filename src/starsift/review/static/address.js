// The address of what is on the screen: #queue/spectrum?selection, for a reload and for links.

import { fromParameters, toParameters } from "./selection.js";
import { state } from "./state.js";

/** Put a spectrum, the selection and the view into the address of the page. */
export function setAddress(spectrumId) {
  const { queue, selection, gallery } = state;
  const parameters = toParameters(selection?.query ?? {});
  if (gallery.open) parameters.set("view", "gallery");
  const text = String(parameters);
  const hash = `#${queue.id}/${encodeURIComponent(spectrumId)}${text && `?${text}`}`;
  history.replaceState(null, "", location.pathname + location.search + hash);
}

/** {queue, spectrum, query, gallery} of the address; the first two may be empty. */
export function readAddress() {
  const [path, parameters] = location.hash.slice(1).split("?");
  const [queue, spectrum = ""] = path.split("/").map(decode);
  const given = new URLSearchParams(parameters ?? "");
  return { queue, spectrum, query: fromParameters(given), gallery: given.get("view") === "gallery" };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a link that was cut off
  }
}

/** The address for others: without the name of this person. */
export const link = () => location.origin + location.pathname + location.hash;
