// The model or template of a search, drawn over its spectrum when a person asks for it.

import { request } from "./api.js";
import { floats } from "./arrays.js";
import { $, h } from "./dom.js";
import { state } from "./state.js";

const PATIENCE = 180_000; // ms: the first one of a search prepares its templates
const COLOURS = ["model", "overlay-1", "overlay-4", "overlay-3"]; // of the model, and of its parts

let on = false;

export const hasModels = () => state.session.models.includes(state.queue.search);

export function toggleModel() {
  on = !on;
  showModel(state.item);
}

/** Draw the model of an item, if models are wanted, or take away that of another one. */
export async function showModel(item) {
  $("model").hidden = !hasModels();
  $("model").setAttribute("aria-pressed", String(on));
  state.plots.drawModel([]);
  $("model-key").hidden = !on || !hasModels();
  if (!item || !on || !hasModels()) return;
  $("model-key").replaceChildren("Fitting the model …");
  const wanted = () => on && state.item === item;
  try {
    const url = `api/queues/${state.queue.id}/items/${item.position}/model`;
    item.model ??= decode(await request(url, undefined, { signal: AbortSignal.timeout(PATIENCE) }));
    if (!wanted()) return;
    state.plots.drawModel(item.model);
    $("model-key").replaceChildren(...(item.model.length ? item.model.map(nameOf) : ["There is no model of this spectrum."]));
  } catch (error) {
    if (wanted()) $("model-key").replaceChildren(`There is no model: ${error.message}.`);
  }
}

function decode({ wavelength, curves }) {
  const x = floats(wavelength);
  return curves.map(({ name, flux }, i) => ({
    name,
    wavelength: x,
    flux: floats(flux),
    colour: COLOURS[Math.min(i, COLOURS.length - 1)],
    dash: i ? "dashed" : "solid",
  }));
}

function nameOf({ name, colour, dash }) {
  const element = h("span", {}, name);
  element.style.setProperty("--colour", `var(--${colour})`);
  element.style.setProperty("--dash", dash);
  return element;
}
