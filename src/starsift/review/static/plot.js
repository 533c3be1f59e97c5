// The plots, by BokehJS. Figures are made once; an item only changes data and ranges.

import { limits, maskedRuns, median, quantiles, redshifted, slice, smooth } from "./spectrum.js";

const B = window.Bokeh;
const FONT = getComputedStyle(document.body).fontFamily;
const BORDER = 62; // px left of every frame, so that frames stay aligned and do not jump with their tick labels
// Bokeh's toolbar in the colours of the page, which its shadow root inherits, and no longer than its tools.
const TOOLBAR = `:host(.bk-inner) {
  --icon-color: var(--muted);
  --active-border: var(--accent);
  height: max-content !important;
  border-radius: 7px;
  background-color: var(--sunken);
  opacity: 0.92;
}`;
const SPIKES = 5e-4; // of the pixels are cut off at either end of the whole spectrum's flux: cosmic rays
const CROWD = 2500; // pixels in a figure that hide their error band behind the flux; drawing it takes 30 ms
const APART = 2.2; // between derivatives that are scaled to [-1, 1]
const DERIVATIVES = ["d1", "d2", "d3"];
const OWN_SIGMA = 3; // pixels: a faint candidate beside bright neighbours
const CROWDED = 0.022; // of the axis: names of lines closer than this would overlap

B.logger?.set_level?.("warn");

// ---- colours ---------------------------------------------------------------------------------------------

const themed = []; // [model, {property: CSS variable}]

const cssColour = (variable) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${variable}`).trim();

/** Give a model colours of the page, now and whenever they change. */
function colour(model, properties) {
  themed.push([model, properties]);
  setColours(model, properties);
}

function setColours(model, properties) {
  model.setv(Object.fromEntries(Object.entries(properties).map(([name, variable]) => [name, cssColour(variable)])));
}

/** Dark and light have changed. */
export function applyTheme() {
  for (const [model, properties] of themed) setColours(model, properties);
}

// ---- figures ---------------------------------------------------------------------------------------------

const views = [];

function setRange(range, [start, end]) {
  range.setv({ start, end, reset_start: start, reset_end: end });
}

function makeFigure({ xRange, yLabel, xLabel = null, ticked = true, tools = "pan,xwheel_zoom,box_zoom,reset", ticks = 5 }) {
  const figure = B.Plotting.figure({
    x_range: xRange ?? new B.Range1d({ start: 0, end: 1 }),
    y_range: new B.Range1d({ start: 0, end: 1 }),
    extra_y_ranges: { unit: new B.Range1d({ start: 0, end: 1 }) },
    tools,
    active_scroll: tools.includes("xwheel_zoom") ? "xwheel_zoom" : null,
    toolbar_location: tools ? "right" : null,
    toolbar_inner: true,
    sizing_mode: "stretch_both",
    min_border_left: BORDER,
    min_border_right: 10,
    min_border_top: 6,
    min_border_bottom: xLabel ? 44 : ticked ? 24 : 6,
    border_fill_color: null, // the page shines through
    lod_threshold: null, // always every pixel
    output_backend: "canvas",
  });
  figure.toolbar.setv({ logo: null, autohide: true, stylesheets: [TOOLBAR] });
  // Without a background Bokeh 3.9 would stroke the last path of the paint before with the outline.
  colour(figure, { background_fill_color: "surface", outline_line_color: "rule" });
  figure.grids.forEach((grid) => colour(grid, { grid_line_color: "grid" }));
  const font = { major_label_text_font: FONT, major_label_text_font_size: "11px" };
  for (const axis of figure.axes) {
    axis.setv({
      ...font,
      axis_label_text_font_style: "normal",
      axis_label_text_font_size: "11px",
      axis_label_standoff: 6,
      minor_tick_line_color: null,
      major_tick_in: 0,
      major_tick_out: 4,
    });
    colour(axis, {
      axis_line_color: "rule",
      major_tick_line_color: "rule",
      major_label_text_color: "muted",
      axis_label_text_color: "muted",
    });
  }
  figure.xaxes[0].setv({ axis_label: xLabel });
  if (!ticked) figure.xaxes[0].setv({ major_label_text_font_size: "0px", major_tick_out: 0 });
  figure.yaxes[0].setv({ axis_label: yLabel ?? null });
  figure.yaxes[0].ticker.desired_num_ticks = ticks;
  return figure;
}

/** Put figures that share sources or ranges into elements of the page: {id of the element: figure}. */
async function put(figures) {
  const elements = Object.keys(figures).map((id) => document.getElementById(id));
  const models = Object.values(figures);
  const sharing = new B.Document();
  for (const model of models) sharing.add_root(model);
  const made = await B.embed.add_document_standalone(sharing, elements[0], elements);
  models.forEach((model, i) => views.push({ view: made.get(model), element: elements[i] }));
}

/** Resolves at the frame after that in which all plots on the page have painted again. */
export function painted() {
  const shown = views.filter(({ element }) => element.offsetParent !== null);
  const repaints = shown.map(
    ({ view }) =>
      new Promise((resolve) => {
        const done = () => {
          view.repainted.disconnect(done);
          resolve();
        };
        view.repainted.connect(done);
        view.request_repaint();
      }),
  );
  return Promise.all(repaints).then(() => new Promise((resolve) => requestAnimationFrame(resolve)));
}

const source = (...columns) => new B.ColumnDataSource({ data: Object.fromEntries(columns.map((c) => [c, []])) });

const field = (name) => ({ field: name });

// ---- the spectrum: whole, and the window of the path -------------------------------------------------------

/** Two figures of one spectrum: all of it above, the window of the path below. */
export class SpectrumPlots {
  #parts = {}; // of each figure: itself, its sources, and the wavelengths [low, high] that these hold
  #masked = source("x0", "x1");
  #overlays = source("xs", "ys", "colour");
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
    const whole = this.#make("whole", null);
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
    const spans = figure.vspan(field("x"), { source: marks, line_dash: { value: [3, 3] } });
    colour(spans.glyph, { line_color: "mark" });
    const names = figure.text({ x: field("x"), y: 0.985, text: field("name"), y_range_name: "unit", source: marks, angle: Math.PI / 2, text_align: "right", text_baseline: "bottom", y_offset: -2, x_offset: -2, text_font: FONT, text_font_size: "11px" });
    colour(names.glyph, { text_color: "mark-text" });
    figure.x_range.change.connect(() => this.#quiet || this.#fill(part));
    figure.on_event("mousemove", (event) => this.onmove?.(event));
    figure.on_event("mouseleave", () => this.onmove?.(null));
    this.#parts[name] = part;
    return figure;
  }

  /**
   * Draw another spectrum.
   * spectrum: {wavelength, flux, error, good}; window: [low, high] Angstrom; sigma, lines and velocity as in
   * `smooth` and `setLines`.
   */
  show(spectrum, { window, sigma, lines, velocity }) {
    this.#spectrum = spectrum;
    [this.#lines, this.#velocity] = [lines, velocity];
    if (this.#overlays.data.xs.length) this.#overlays.data = { xs: [], ys: [], colour: [] };
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

  /** The upper figure shows the window of the path (true) or the whole spectrum. */
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
    const apart = CROWDED * (end - start);
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

// ---- binaries: the CCF and its derivatives -----------------------------------------------------------------

/** The CCF above, its first three derivatives below, one under the other; thresholds; radial velocities. */
export class CcfPlots {
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

  /** extras: as the server gives them for a spectrum of this path. */
  show(extras) {
    const { velocity, ccf, rv } = extras;
    setRange(this.#velocities, [velocity[0], velocity.at(-1)]);
    this.#ccf.data = { x: velocity, y: ccf, smooth: extras.smooth ?? ccf };
    setRange(this.#figures.ccf.y_range, limits(ccf));
    this.#levels.ccf.data = { y: [extras.ccf_threshold] };
    // Of the derivatives only signs and fractions of the range count: each is scaled to 1 and has its place.
    const levels = { d1: 0, d2: extras.d2_threshold, d3: 0 };
    const data = { x: velocity };
    this.#levels.derivatives.data = {
      y: DERIVATIVES.map((name, place) => {
        const unit = extras[name].reduce((top, d) => Math.max(top, Math.abs(d)), 0) || 1;
        data[name] = extras[name].map((d) => d / unit - APART * place);
        return levels[name] / unit - APART * place;
      }),
    };
    this.#derivatives.data = data;
    this.#rv.data = { x: rv, text: rv.map((v) => v.toFixed(1)) };
  }
}

// ---- M stars: the nearest query spectra --------------------------------------------------------------------

/** The spectrum (below) and its nearest queries, each scaled to its median and shifted up. */
export class NearestPlot {
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

  show({ nearest }, spectrum) {
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

// ---- BHB stars: image bands --------------------------------------------------------------------------------

/** One greyscale canvas a band, arcsinh between the sky and the brightest percent, north up as the file has it. */
export function drawImages(container, { bands, shape, images }) {
  const [height, width] = shape;
  if (container.childElementCount !== bands.length) {
    container.replaceChildren(
      ...bands.map(() => {
        const figure = document.createElement("figure");
        figure.append(document.createElement("canvas"), document.createElement("figcaption"));
        return figure;
      }),
    );
  }
  bands.forEach((band, k) => {
    const [canvas, caption] = container.children[k].children;
    caption.textContent = band;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `image in ${band}`);
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    const [sky, bright] = [median(images[k]), limits(images[k], 0.002, 0)[1]];
    const soft = (bright - sky) / 10 || 1;
    const top = Math.asinh((bright - sky) / soft);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        // FITS planes begin at the bottom, canvases at the top.
        const value = images[k][(height - 1 - y) * width + x];
        const grey = 24 + 231 * (Math.asinh((value - sky) / soft) / top);
        const at = 4 * (y * width + x);
        pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = Number.isFinite(grey) ? grey : 0;
        pixels.data[at + 3] = 255;
      }
    }
    context.putImageData(pixels, 0, 0);
  });
}
