// Beside Streamlit's own chart: a click picks a point and may open its page, a ring marks the picked one, and the zoom
// is told to the app, which draws the next figure with it. Nothing here redraws the chart, so zoom and box stay.

const state = { data: null, pick: null, table: null, clear: null, tell: null, chart: null, timer: null, hovered: null, down: null };

const COLOUR = "#d1006c";
const SIZE = 20;
const MOVED = 4;

// A drawn box would swallow the mouse over every point inside it: only its outline is for the mouse.
const style = document.createElement("style");
style.textContent = ".st-key-scatter .selectionlayer path { pointer-events: stroke !important }";
document.head.append(style);

function chart() {
  const found = document.querySelector(".st-key-scatter .js-plotly-plot");
  return found?.on && found._fullLayout?.xaxis?.d2p ? found : null;
}

// Plotly's own click event cannot be had: Streamlit switches it off while a drag means zoom. So a click is the point
// that was hovered when the button went down, if the mouse has not moved until it came up.
function onDown(event) {
  state.down = { x: event.clientX, y: event.clientY, point: state.hovered };
}

function onUp(event) {
  const { x, y, point } = state.down ?? {};
  if (!state.down || event.button !== 0 || Math.hypot(event.clientX - x, event.clientY - y) > MOVED) return;
  state.down = null;
  const id = point?.customdata?.[0];
  const key = id === undefined ? rowAt(event.clientY) : [point.data.legendgroup, id];
  if (!key) return;
  if (state.data.page) window.open(state.data.page.replace("{feature_id}", key[1]), "_blank", "noopener");
  state.pick({ token_type: key[0], feature_id: key[1] });
}

// In a ranking a click anywhere in a row picks its feature.
function rowAt(clientY) {
  const { rows } = state.data;
  if (!rows) return null;
  const { yaxis } = state.chart._fullLayout;
  const at = yaxis.p2d(clientY - state.chart.getBoundingClientRect().top - yaxis._offset);
  const [place, ...key] = rows.reduce((best, row) => (Math.abs(row[0] - at) < Math.abs(best[0] - at) ? row : best));
  return Math.abs(place - at) <= 0.5 ? key : null;
}

// The wheel scrolls the page; a pinch, which browsers report as a wheel with Ctrl, zooms.
function onWheel(event) {
  if (!event.ctrlKey) event.stopImmediatePropagation();
}

function near(one, other) {
  const unit = Math.abs(state.data.whole[1] - state.data.whole[0]) * 1e-6;
  return other && one.every((value, i) => Math.abs(value - other[i]) < unit);
}

// Tell the app where the chart is zoomed to. The range that a zoomed figure began with is what a double click goes back
// to, so coming back to it means that the whole range is wanted.
function tell(reset) {
  const { xaxis, yaxis } = state.chart._fullLayout;
  const at = [...xaxis.range, ...yaxis.range];
  const whole = near(at, state.data.whole) || (reset && near(at, state.data.begin));
  state.tell({ axes: state.data.axes, at: whole ? null : at });
}

function onRelayout(event) {
  onDrawn();
  if (!Object.keys(event).some((key) => /^[xy]axis/.test(key))) return;
  clearTimeout(state.timer);
  state.timer = setTimeout(() => tell(true), 250);
}

function placeRing() {
  const { chart: div, data } = state;
  let ring = div.querySelector(".featurediff-ring");
  if (!data?.ring) {
    ring?.remove();
    return;
  }
  if (!ring) {
    ring = document.createElement("div");
    ring.className = "featurediff-ring";
    ring.style.cssText =
      `position:absolute;box-sizing:border-box;width:${SIZE}px;height:${SIZE}px;border:3px solid ${COLOUR};` +
      "border-radius:50%;pointer-events:none;z-index:5";
    div.style.position = "relative";
    div.appendChild(ring);
  }
  const { xaxis, yaxis } = div._fullLayout;
  const [x, y] = [xaxis.d2p(data.ring[0]), yaxis.d2p(data.ring[1])];
  const inside = x >= 0 && x <= xaxis._length && y >= 0 && y <= yaxis._length;
  ring.style.display = inside ? "" : "none";
  ring.style.left = `${xaxis._offset + x - SIZE / 2}px`;
  ring.style.top = `${yaxis._offset + y - SIZE / 2}px`;
}

// A double click, of which Plotly only says that it removed the box: it ends a zoom too. Streamlit does not know of a
// box that was drawn with the figure.
function onDeselect() {
  state.clear(true);
  state.chart.querySelector(".modebar-btn[data-val=reset]")?.click();
}

function onDrawn() {
  drawPoints(state.chart);
  placeRing();
}

// The table takes no orders before it is drawn: the app waits for that to scroll it to the picked feature of a link.
function awaitTable() {
  if (!state.data.awaited || !document.querySelector("[class*=st-key-table_] canvas")) return;
  state.data.awaited = false;
  setTimeout(() => state.table(true), 300);
}

const LISTENERS = {
  plotly_hover: (event) => (state.hovered = event.points[0]),
  plotly_unhover: () => (state.hovered = null),
  plotly_relayout: onRelayout,
  plotly_afterplot: onDrawn,
  plotly_relayouting: onDrawn,
  plotly_selected: onDrawn,
  plotly_deselect: onDeselect,
};

function attach() {
  const found = chart();
  if (!found) return;
  state.chart = found;
  for (const [name, listener] of Object.entries(LISTENERS)) {
    found.removeListener(name, listener); // Plotly drops listeners when it draws the same element anew
    found.on(name, listener);
  }
  found.addEventListener("mousedown", onDown, true); // adding the same listener again changes nothing
  found.addEventListener("click", onUp, true);
  found.addEventListener("click", onCamera, true);
  found.addEventListener("wheel", onWheel, true);
  onDrawn();
  writeMinuses(found);
  awaitTable();
}

export default function ({ data, setTriggerValue, setStateValue }) {
  state.data = data;
  state.pick = (value) => setTriggerValue("picked", value);
  state.table = (value) => setTriggerValue("table", value);
  state.clear = (value) => setTriggerValue("cleared", value);
  state.tell = (value) => setStateValue("view", value);
  attach();
  const observer = new MutationObserver(attach);
  observer.observe(document.body, { childList: true, subtree: true });
  return () => observer.disconnect();
}
