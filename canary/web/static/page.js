/* Draws the charts of a page, and keeps a live one up to date. The server renders everything else. */
const drawn = new Map();
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(`--${name}`).trim();
const HEIGHT = 160;
const LOGARITHMIC = {
  splits: powers,
  filter: (_, at) => at,
  values: (_, at) => at.map((one) => (one >= 1e5 ? one.toExponential() : String(one))),
};

function options(chart, box) {
  const axis = { stroke: colour("soft"), grid: { stroke: colour("rule"), width: 1 },
    ticks: { show: false }, font: "11px system-ui" };
  const roles = chart.lines.map((line) => line.role);
  return {
    width: box.clientWidth || 300,
    height: HEIGHT,
    padding: [8, 14, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    scales: {
      x: { time: false, range: () => drawn.get(chart.id)?.chart.span_s ?? chart.span_s },
      y: {
        distr: chart.log ? 3 : 1,
        range: (_, low, high) => (chart.log ? decades(chart, low, high)
          : [Math.min(0, low ?? 0), top(chart, high)]),
      },
    },
    axes: [
      { ...axis, size: 24, values: (_, at) => at.map((one) => `${one} s`) },
      { ...axis, size: 48, ...(chart.log && LOGARITHMIC) },
    ],
    series: [{}, ...chart.lines.map((line, index) => ({
      stroke: colour(line.role),
      width: 2,
      alpha: roles.indexOf(line.role) < index ? 0.5 : 1,
      spanGaps: true,
      points: { show: chart.dots, size: 7, fill: colour(line.role) },
      paths: line.steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
    }))],
    hooks: { setCursor: [(plot) => say(plot, box)], draw: [(plot) => level(plot, chart.limit)] },
  };
}

/* The limit, across the whole chart. */
function level(plot, limit) {
  if (limit == null) return;
  const { ctx, bbox } = plot;
  const at = Math.round(plot.valToPos(limit, "y", true));
  ctx.save();
  ctx.strokeStyle = colour("bad");
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, at);
  ctx.lineTo(bbox.left + bbox.width, at);
  ctx.stroke();
  ctx.restore();
}

/* Whole powers of ten around the values and the limit; what is next to nothing is at the bottom. */
function decades(chart, low, high) {
  const least = Math.max(1e-3, Math.min(low ?? 1, 1));
  const most = Math.max(high ?? 1, chart.limit ?? 1, chart.top ?? 1);
  return [10 ** Math.floor(Math.log10(least)), 10 ** Math.ceil(Math.log10(most) + 0.1)];
}

/* At most six powers of ten between two. */
function powers(_plot, _axis, low, high) {
  const [first, last] = [low, high].map((one) => Math.round(Math.log10(one)));
  const step = Math.ceil((last - first) / 6);
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => 10 ** (first + i * step));
}

function top(chart, high) {
  const most = Math.max(chart.top ?? 0, high ?? 0, chart.limit ?? 0);
  return most > 0 ? most * 1.1 : 1;
}

/* The values at the cursor, or the latest, beside the names of the lines. */
function say(plot, box) {
  const at = plot.cursor.idx ?? plot.data[0].length - 1;
  box.parentElement.querySelectorAll("output").forEach((output, index) => {
    const value = plot.data[index + 1]?.[at];
    const text = value == null ? "" : String(+value.toPrecision(4));
    if (output.textContent !== text) output.textContent = text;
  });
}

function draw(chart) {
  const box = document.querySelector(`[data-chart="${CSS.escape(chart.id)}"] .plot`);
  if (!box || !chart.at_s.length) return;
  box.parentElement.hidden = false;
  box.setAttribute("aria-label", chart.words);
  const data = [chart.at_s, ...chart.lines.map((line) => line.values)];
  const shape = JSON.stringify(chart.lines.map((line) => line.label));
  const before = drawn.get(chart.id);
  if (before && before.shape === shape && before.box === box) {
    before.chart = chart;
    before.plot.setData(data);
    say(before.plot, box);
    return;
  }
  before?.plot.destroy();
  const plot = new uPlot(options(chart, box), data, box);
  drawn.set(chart.id, { plot, shape, box, chart });
  say(plot, box);
  box.onkeydown = (event) => move(event, plot, box);
  box.onblur = () => hear(box, "off");
}

/* Whether a screen reader says the values as they change: only while somebody goes along them. */
function hear(box, live) {
  box.parentElement.querySelectorAll("output").forEach((output) => output.setAttribute("aria-live", live));
}

/* Arrows move the cursor from one measurement to the next. */
function move(event, plot, box) {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  hear(box, "polite");
  const last = plot.data[0].length - 1;
  const at = Math.max(0, Math.min(last, (plot.cursor.idx ?? last) + step));
  plot.setCursor({ left: plot.valToPos(plot.data[0][at], "x"), top: HEIGHT / 2 });
  say(plot, box);
}

function redraw() {
  const charts = [...drawn.values()].map((one) => one.chart);
  drawn.forEach((one) => one.plot.destroy());
  drawn.clear();
  charts.forEach(draw);
}

/* Puts a section's new text in its place. What is scrolled or has the keyboard's focus stays, so
   that a screen reader does not say it anew each second. */
function replace(id, html) {
  const section = document.getElementById(id);
  if (!section) return;
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const [before, after] = [section, fresh.content].map((one) => [...one.children]);
  const alike = before.length && before.length === after.length
    && before.every((one, at) => one.cloneNode().isEqualNode(after[at].cloneNode()));
  const { value } = section.contains(document.activeElement) ? document.activeElement : {};
  if (!alike) section.innerHTML = html;
  else before.forEach((one, at) => { if (!one.isEqualNode(after[at])) one.innerHTML = after[at].innerHTML; });
  if (value) section.querySelector(`button[value="${CSS.escape(value)}"]`)?.focus();
}

function follow(address) {
  const source = new EventSource(address);
  const gone = document.getElementById("gone");
  source.onopen = () => { gone.hidden = true; };
  source.onerror = () => { gone.hidden = false; };
  source.onmessage = (event) => {
    const { style: tone, charts, ...sections } = JSON.parse(event.data);
    for (const [id, html] of Object.entries(sections)) replace(id, html);
    if (tone) document.getElementById("head").className = `verdict ${tone}`;
    charts?.forEach(draw);
  };
}

const given = document.getElementById("charts");
if (given) {
  JSON.parse(given.textContent).forEach(draw);
  if (given.dataset.events) follow(given.dataset.events);
  let width = document.body.clientWidth;
  new ResizeObserver(() => {
    if (document.body.clientWidth !== width) { width = document.body.clientWidth; redraw(); }
  }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}
