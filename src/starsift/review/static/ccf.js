// The panel `ccf`: the cross-correlation function of a spectrum and its derivatives.

import { floats } from "./arrays.js";
import { B, FONT, colour, field, makeFigure, put, setRange, source } from "./figures.js";
import { limits } from "./spectrum.js";

const APART = 2.2; // between derivatives that are scaled to [-1, 1]
const DERIVATIVES = ["d1", "d2", "d3"];

/** The CCF above, its first three derivatives below, one under the other; thresholds; radial velocities. */
class CcfPlots {
  #velocities = new B.Range1d({ start: -500, end: 500 });
  #ccf = source("x", "y", "smooth");
  #derivatives = source("x", "d1", "d2", "d3");
  #levels = { ccf: source("y"), derivatives: source("y") };
  #rv = source("x", "text");
  #figures = {};

  constructor() {
    const ccf = this.#make("ccf", { yLabel: "CCF", ticked: false, ticks: 4, tools: "pan,xwheel_zoom,reset" });
    const raw = ccf.line({ x: field("x"), y: field("y"), source: this.#ccf });
    colour(raw.glyph, { line_color: "faint" });
    const text = ccf.text({ x: field("x"), y: 0.06, text: field("text"), y_range_name: "unit", source: this.#rv, x_offset: 4, text_font: FONT, text_font_size: "11px" });
    colour(text.glyph, { text_color: "mark-text" });
    const smoothed = ccf.line({ x: field("x"), y: field("smooth"), source: this.#ccf, line_width: 1.25 });
    colour(smoothed.glyph, { line_color: "line" });

    const derivatives = this.#make("derivatives", { yLabel: "derivatives, scaled", xLabel: "velocity (km/s)", tools: "pan,xwheel_zoom,reset" });
    for (const name of DERIVATIVES) {
      const line = derivatives.line({ x: field("x"), y: field(name), source: this.#derivatives, line_width: 1.25 });
      colour(line.glyph, { line_color: "line" });
    }
    setRange(derivatives.y_range, [0.5 - DERIVATIVES.length, 0.5].map((end) => APART * end));
    derivatives.yaxes[0].setv({
      ticker: new B.FixedTicker({ ticks: DERIVATIVES.map((_, place) => -APART * place) }),
      major_label_overrides: new Map(DERIVATIVES.map((_, place) => [-APART * place, ["1st", "2nd", "3rd"][place]])),
    });
    this.ready = put({ ccf, derivatives });
  }

  #make(name, options) {
    const figure = makeFigure({ xRange: this.#velocities, ...options });
    const level = figure.hspan(field("y"), { source: this.#levels[name], line_dash: { value: [5, 3] } });
    colour(level.glyph, { line_color: "threshold" });
    const rv = figure.vspan(field("x"), { source: this.#rv });
    colour(rv.glyph, { line_color: "mark" });
    this.#figures[name] = figure;
    return figure;
  }

  /** curves: as the server gives them. */
  show(curves) {
    const { velocity, ccf, rv } = curves;
    setRange(this.#velocities, [velocity[0], velocity.at(-1)]);
    this.#ccf.data = { x: velocity, y: ccf, smooth: curves.smooth ?? ccf };
    setRange(this.#figures.ccf.y_range, limits(ccf));
    this.#levels.ccf.data = { y: [curves.ccf_threshold] };
    // Of the derivatives only signs and fractions of the range count: each is scaled to 1 and has its place.
    const levels = { d1: 0, d2: curves.d2_threshold, d3: 0 };
    const data = { x: velocity };
    this.#levels.derivatives.data = {
      y: DERIVATIVES.map((name, place) => {
        const unit = curves[name].reduce((top, d) => Math.max(top, Math.abs(d)), 0) || 1;
        data[name] = curves[name].map((d) => d / unit - APART * place);
        return levels[name] / unit - APART * place;
      }),
    };
    this.#derivatives.data = data;
    this.#rv.data = { x: rv, text: rv.map((v) => v.toFixed(1)) };
  }
}

let plots;

export function decode(curves) {
  for (const name of ["velocity", "ccf", "smooth", ...DERIVATIVES]) curves[name] = floats(curves[name]);
  return curves;
}

export function show(curves) {
  (plots ??= new CcfPlots()).show(curves);
}
