// Panels beside the spectrum: those that an item's extras hold content for.

import * as ccf from "./ccf.js";
import { $ } from "./dom.js";
import * as images from "./images.js";
import * as nearest from "./nearest.js";

// By the name of the content and of the element `extra-…`. `decode` turns texts into arrays, `show` draws them.
const PANELS = { ccf, nearest, images };

export function decodeExtras(extras) {
  for (const [name, panel] of Object.entries(PANELS)) {
    if (extras[name]) extras[name] = panel.decode(extras[name]);
  }
  return extras;
}

/** Show the panels of an item, and give them room. */
export function showExtras({ extras, spectrum }) {
  const shown = Object.keys(PANELS).filter((name) => extras[name]);
  for (const name of Object.keys(PANELS)) $(`extra-${name}`).hidden = !shown.includes(name);
  $("below").className = shown.map((name) => `with-${name}`).join(" ");
  for (const name of shown) PANELS[name].show(extras[name], spectrum);
}
