// The story of a spectrum through the run: cuts, stages, thresholds, as `starsift explain` tells it.

import { request } from "./api.js";
import { dismiss, say } from "./banner.js";
import { $, h } from "./dom.js";
import { state } from "./state.js";

export async function showStory() {
  const { item, queue } = state;
  if (!item) return;
  try {
    const { sections } = await request(`api/queues/${queue.id}/items/${item.position}/story`);
    if (state.item !== item) return;
    $("story-name").textContent = item.spectrum_id;
    $("story-parts").replaceChildren(
      ...sections.flatMap(({ title, lines }) => [h("h3", {}, title), h("ul", {}, ...lines.map((line) => h("li", {}, line)))]),
    );
    $("story").showModal();
  } catch (error) {
    say(`The story of this spectrum cannot be told: ${error.message}`, dismiss);
  }
}
