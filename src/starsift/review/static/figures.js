// Figures by BokehJS in the colours of the page. They are made once; an item only changes data and ranges.

export const B = window.Bokeh;
export const FONT = getComputedStyle(document.body).fontFamily;
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

B.logger?.set_level?.("warn");

// ---- colours ---------------------------------------------------------------------------------------------

const themed = []; // [model, {property: CSS variable}]

export const cssColour = (variable) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${variable}`).trim();

/** Give a model colours of the page, now and whenever they change. */
export function colour(model, properties) {
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

export function setRange(range, [start, end]) {
  range.setv({ start, end, reset_start: start, reset_end: end });
}

export function makeFigure({ xRange, yLabel, xLabel = null, ticked = true, tools = "pan,xwheel_zoom,box_zoom,reset", ticks = 5 }) {
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
export async function put(figures) {
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

export const source = (...columns) => new B.ColumnDataSource({ data: Object.fromEntries(columns.map((c) => [c, []])) });

export const field = (name) => ({ field: name });
