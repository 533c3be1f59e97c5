// The panel `nearest`: the known stars that are most like a spectrum.

import { floats, wavelengths } from "./arrays.js";
import { FONT, cssColour, field, makeFigure, put, setRange, source } from "./figures.js";
import { limits, median, quantiles, smooth } from "./spectrum.js";

const OWN_SIGMA = 3; // pixels: a faint candidate beside bright neighbours

/** The spectrum (below) and its nearest stars, each scaled to its median and shifted up. */
class NearestPlot {
  #curves = source("xs", "ys", "colour");
  #names = source("x", "y", "text", "colour");
  #figure;

  constructor() {
    const figure = makeFigure({ xLabel: "vacuum wavelength (Å)", yLabel: "scaled flux + offset" });
    figure.multi_line({ xs: field("xs"), ys: field("ys"), line_color: field("colour"), source: this.#curves, line_width: 1, line_join: "round" });
    figure.text({ x: field("x"), y: field("y"), text: field("text"), text_color: field("colour"), source: this.#names, x_offset: 6, y_offset: -4, text_font: FONT, text_font_size: "11px" });
    this.#figure = figure;
    this.ready = put({ nearest: figure });
  }

  show(nearest, spectrum) {
    const own = { ...spectrum, flux: smooth(spectrum, OWN_SIGMA).value, text: "this spectrum, smoothed", colour: "line" };
    const theirs = nearest.map((near) => ({ ...near, text: `${near.subclass ?? ""}  d = ${near.distance}`, colour: "overlay-1" }));
    const curves = [own, ...theirs].map((curve) => {
      const middle = median(curve.flux) || 1;
      return { ...curve, ys: curve.flux.map((f) => f / middle) };
    });
    const tops = curves.map(({ ys }) => limits(ys, 0.01, 0));
    const step = Math.max(...tops.map(([low, high]) => high - low)) * 0.55;
    curves.forEach((curve, place) => {
      for (let i = 0; i < curve.ys.length; i++) curve.ys[i] += place * step;
    });
    const first = spectrum.wavelength[0];
    const colours = curves.map((curve) => cssColour(curve.colour));
    this.#curves.data = { xs: curves.map((c) => c.wavelength), ys: curves.map((c) => c.ys), colour: colours };
    this.#names.data = {
      x: curves.map(() => first),
      y: curves.map((curve) => quantiles(curve.ys.subarray(0, Math.ceil(curve.ys.length / 5)), [0.98])[0]),
      text: curves.map((curve) => curve.text),
      colour: curves.map((curve) => cssColour(curve.colour === "line" ? "ink" : "muted")),
    };
    setRange(this.#figure.x_range, [first, spectrum.wavelength.at(-1)]);
    setRange(this.#figure.y_range, [tops[0][0], tops.at(-1)[1] + (curves.length - 0.7) * step]);
  }
}

let plot;

export function decode(nearest) {
  for (const near of nearest) {
    near.flux = floats(near.flux);
    near.wavelength = wavelengths(near, near.flux.length);
  }
  return nearest;
}

export function show(nearest, spectrum) {
  (plot ??= new NearestPlot()).show(nearest, spectrum);
}
