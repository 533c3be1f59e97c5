// The plots of one spectrum: all of it above, the window of the search below.

import { B, FONT, colour, cssColour, field, makeFigure, put, setRange, source } from "./figures.js";
import { limits, maskedRuns, median, redshifted, slice, smooth } from "./spectrum.js";

const SPIKES = 5e-4; // of the pixels are cut off at either end of the whole spectrum's flux: cosmic rays
const CROWD = 2500; // pixels in a figure that hide their error band behind the flux; drawing it takes 30 ms
const CROWDED = 15; // px: names of lines closer than this would overlap

/** Two figures of one spectrum: all of it above, the window of the search below. */
export class SpectrumPlots {
  #parts = {}; // of each figure: itself, its sources, and the wavelengths [low, high] that these hold
  #masked = source("x0", "x1");
  #overlays = source("xs", "ys", "colour");
  #model = source("xs", "ys", "colour", "dash");
  #looked = source("x0", "x1");
  #spectrum = null;
  #pixels = null; // {x, flux, low, high} of the whole spectrum, smoothed
  #raw = null; // unsmoothed flux, where it is smoothed
  #extent = [0, 1];
  #window = null;
  #lines = [];
  #velocity = 0;
  #quiet = false; // while ranges are set one after the other

  constructor() {
    const whole = this.#make("whole", "vacuum wavelength (Å)");
    const window = this.#make("window", "vacuum wavelength (Å)");
    // Where the lower figure looks, marked in the upper one.
    const look = whole.vstrip({ x0: field("x0"), x1: field("x1"), source: this.#looked, line_color: null, level: "underlay" });
    colour(look.glyph, { fill_color: "look" });
    this.zoomed = false;
    this.ready = put({ whole, window });
  }

  #make(name, xLabel) {
    const figure = makeFigure({ xLabel, yLabel: "flux" });
    const part = { figure, span: [NaN, NaN], pixels: source("x", "flux", "low", "high"), raw: source("x", "y"), marks: source("x", "name") };
    const { pixels, marks } = part;
    const masked = figure.vstrip({ x0: field("x0"), x1: field("x1"), source: this.#masked, line_color: null, level: "underlay" });
    colour(masked.glyph, { fill_color: "masked" });
    const band = figure.varea({ x: field("x"), y1: field("low"), y2: field("high"), source: pixels });
    part.band = band;
    colour(band.glyph, { fill_color: "band" });
    figure.multi_line({ xs: field("xs"), ys: field("ys"), line_color: field("colour"), source: this.#overlays });
    const raw = figure.line({ x: field("x"), y: field("y"), source: part.raw });
    colour(raw.glyph, { line_color: "faint" });
    const line = figure.line({ x: field("x"), y: field("flux"), source: pixels });
    colour(line.glyph, { line_color: "line" });
    figure.multi_line({ xs: field("xs"), ys: field("ys"), line_color: field("colour"), line_dash: field("dash"), line_width: 1.25, source: this.#model });
    const spans = figure.vspan(field("x"), { source: marks, line_dash: { value: [3, 3] } });
    colour(spans.glyph, { line_color: "mark" });
    const names = figure.text({ x: field("x"), y: 0.985, text: field("name"), y_range_name: "unit", source: marks, angle: Math.PI / 2, text_align: "right", text_baseline: "bottom", y_offset: -2, x_offset: -2, text_font: FONT, text_font_size: "11px" });
    colour(names.glyph, { text_color: "mark-text" });
    figure.x_range.change.connect(() => this.#quiet || this.#fill(part));
    figure.properties.inner_width.change.connect(() => this.#pixels && this.#placeLines(part));
    figure.on_event("mousemove", (event) => this.onmove?.(event));
    figure.on_event("mouseleave", () => this.onmove?.(null));
    this.#parts[name] = part;
    return figure;
  }

  /**
   * Draw another spectrum.
   * spectrum: {wavelength, flux, error, good}; window: [low, high] Angstrom, or null; sigma, lines and velocity as in
   * `smooth` and `setLines`; unit of the flux.
   */
  show(spectrum, { window, sigma, lines, velocity, unit }) {
    for (const { figure } of Object.values(this.#parts)) {
      // Setting it lays the figure out again.
      const label = `flux (${unit})`;
      if (figure.yaxes[0].axis_label !== label) figure.yaxes[0].axis_label = label;
    }
    this.#spectrum = spectrum;
    [this.#lines, this.#velocity] = [lines, velocity];
    if (this.#overlays.data.xs.length) this.#overlays.data = { xs: [], ys: [], colour: [] };
    this.drawModel([]);
    const { wavelength, good } = spectrum;
    const masked = maskedRuns(wavelength, good);
    if (masked.x0.length || this.#masked.data.x0.length) this.#masked.data = masked;
    this.#extent = [wavelength[0], wavelength.at(-1)];
    const inside = slice(wavelength, ...window);
    if (inside[1] - inside[0] < 10) {
      // The window of the path is not in this arm: its middle instead.
      const [first, last] = this.#extent;
      window = [first + 0.4 * (last - first), first + 0.6 * (last - first)];
    }
    if (String(window) !== String(this.#window)) this.#looked.data = { x0: [window[0]], x1: [window[1]] };
    this.#window = window;
    this.#smooth(sigma);
    this.#look("window", window);
    this.#look("whole", this.zoomed ? window : this.#extent);
  }

  #look(name, [low, high]) {
    const part = this.#parts[name];
    const [first, last] = slice(this.#pixels.x, low, high);
    const values = this.#pixels.flux.subarray(first, last);
    this.#quiet = true;
    setRange(part.figure.x_range, [low, high]);
    setRange(part.figure.y_range, limits(values, values.length > 1000 ? SPIKES : 0));
    this.#quiet = false;
    this.#fill(part);
  }

  /** Give a figure the pixels in its range and half as many to either side, and the lines in its range. */
  #fill(part) {
    const { start, end } = part.figure.x_range;
    if (!(start >= part.span[0] && end <= part.span[1])) {
      const room = (end - start) / 2;
      part.span = [start - room, end + room];
      const [first, last] = slice(this.#pixels.x, ...part.span);
      const cut = (values) => values.subarray(first, last);
      const { x, flux, low, high } = this.#pixels;
      part.pixels.data = { x: cut(x), flux: cut(flux), low: cut(low), high: cut(high) };
      part.band.visible = last - first < CROWD;
      if (this.#raw) part.raw.data = { x: cut(x), y: cut(this.#raw) };
      else if (part.raw.data.x.length) part.raw.data = { x: [], y: [] };
    }
    this.#placeLines(part);
  }

  /** The upper figure shows the window of the search (true) or the whole spectrum. */
  zoom(on) {
    this.zoomed = on;
    if (this.#spectrum) this.#look("whole", on ? this.#window : this.#extent);
  }

  #smooth(sigma) {
    const { wavelength, good } = this.#spectrum;
    const { value, spread } = smooth(this.#spectrum, sigma);
    this.#pixels = {
      x: wavelength,
      flux: value,
      low: value.map((v, i) => v - spread[i]),
      high: value.map((v, i) => v + spread[i]),
    };
    this.#raw = sigma ? this.#spectrum.flux.map((f, i) => (good[i] ? f : NaN)) : null;
    for (const part of Object.values(this.#parts)) part.span = [NaN, NaN];
  }

  /** Gaussian smoothing, sigma in pixels; 0 is none. */
  smooth(sigma) {
    this.#smooth(sigma);
    Object.values(this.#parts).forEach((part) => this.#fill(part));
  }

  /** Mark lines [{name, wavelength}], ascending, at a velocity in km/s; none: []. */
  setLines(lines, velocity) {
    [this.#lines, this.#velocity] = [lines, velocity];
    Object.values(this.#parts).forEach((part) => this.#placeLines(part));
  }

  #placeLines({ figure, marks }) {
    const { start, end } = figure.x_range;
    const apart = (CROWDED / (figure.inner_width || 700)) * (end - start);
    let last = -Infinity;
    const x = [], name = [];
    for (const line of this.#lines) {
      const at = redshifted(line.wavelength, this.#velocity);
      if (at < start || at > end) continue;
      const room = at - last >= apart;
      x.push(at);
      name.push(room ? line.name : "");
      if (room) last = at;
    }
    const { data } = marks;
    if (String([x, name]) !== String([data.x, data.name])) marks.data = { x, name };
  }

  /** Curves of a model over the spectrum, [{wavelength, flux, colour, dash}]. */
  drawModel(curves) {
    if (!curves.length && !this.#model.data.xs.length) return;
    this.#model.data = {
      xs: curves.map((curve) => curve.wavelength),
      ys: curves.map((curve) => curve.flux),
      colour: curves.map((curve) => cssColour(curve.colour)),
      dash: curves.map((curve) => curve.dash),
    };
  }

  /** Other spectra over this one, [{wavelength, flux, good, colour}], scaled to its median. */
  overlay(spectra) {
    const scale = (spectrum) => median(spectrum.flux.filter((_, i) => spectrum.good[i]));
    const own = scale(this.#spectrum);
    const ys = spectra.map((spectrum) => {
      const ratio = own / scale(spectrum);
      const factor = ratio > 0 && Number.isFinite(ratio) ? ratio : 1;
      return spectrum.flux.map((f, i) => (spectrum.good[i] ? f * factor : NaN));
    });
    this.#overlays.data = {
      xs: spectra.map((spectrum) => spectrum.wavelength),
      ys,
      colour: spectra.map((spectrum) => cssColour(spectrum.colour)),
    };
  }
}
