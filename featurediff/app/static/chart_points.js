// The points of the chart, on a canvas of its own. Plotly knows where they are and says which one the mouse is over, but
// draws none of them: as SVG it makes an element of each, twice, and a WebGL canvas is made anew with each chart.

const CANVAS = "featurediff-points";
const DIMMED = 0.2; // of the opacity, outside a box: Plotly's own

// Outlines of Plotly's symbols round 0, 0 for a marker of radius r, as Plotly draws them.
const OUTLINES = {
  circle: (r) => `M${r},0A${r},${r} 0 1,1 0,${-r}A${r},${r} 0 0,1 ${r},0Z`,
  square: (r) => `M${r},${r}H${-r}V${-r}H${r}Z`,
  diamond: (r) => `M${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0L0,${-1.3 * r}Z`,
  star: (r) => {
    const corners = [...Array(10).keys()].map((i) => {
      const [turn, reach] = [(i * Math.PI) / 5, 1.4 * r * (i % 2 ? 0.382 : 1)];
      return `${reach * Math.sin(turn)},${-reach * Math.cos(turn)}`;
    });
    return `M${corners.join("L")}Z`;
  },
};

// Traces whose points are drawn here: those that Plotly knows with their markers, but does not draw.
function tracesOf(div) {
  return div.data.map((trace, i) => [trace, div._fullData[i]]).filter(([trace]) => trace.mode === "none");
}

// The last box or lasso, in pixels of the plot; null where there is none.
function boxOf({ xaxis, yaxis, selections }) {
  const drawn = selections?.at(-1);
  if (!drawn) return null;
  const box = new Path2D();
  if (drawn.type === "rect") {
    const [x0, x1] = [xaxis.d2p(drawn.x0), xaxis.d2p(drawn.x1)];
    const [y0, y1] = [yaxis.d2p(drawn.y0), yaxis.d2p(drawn.y1)];
    box.rect(x0, y0, x1 - x0, y1 - y0);
    return box;
  }
  for (const corner of drawn.path.slice(1, -1).split("L")) {
    const [x, y] = corner.split(",");
    box.lineTo(xaxis.d2p(+x), yaxis.d2p(+y));
  }
  box.closePath();
  return box;
}

// Whether a point is not dimmed: it is in the box, or else the app says that it was in an earlier one.
function chooser(traces, { _fullLayout }, context) {
  const box = boxOf(_fullLayout);
  if (box) return (trace) => (x, y) => context.isPointInPath(box, x, y, "evenodd");
  // Plotly, which draws no point, says of a box that has gone that it chose none.
  if (!traces.some(([trace]) => trace.selectedpoints?.length)) return () => () => true;
  return (trace) => {
    const chosen = new Set(trace.selectedpoints);
    return (x, y, i) => chosen.has(i);
  };
}

function canvasOf(div) {
  const layer = div.querySelector(".gl-container"); // where Plotly would put its own: below texts and boxes
  const found = layer.querySelector(`.${CANVAS}`) ?? layer.appendChild(document.createElement("canvas"));
  const { xaxis, yaxis } = div._fullLayout;
  const scale = window.devicePixelRatio;
  found.className = CANVAS;
  found.width = Math.round(xaxis._length * scale);
  found.height = Math.round(yaxis._length * scale);
  found.style.cssText =
    `position:absolute;pointer-events:none;left:${xaxis._offset}px;top:${yaxis._offset}px;` +
    `width:${xaxis._length}px;height:${yaxis._length}px`;
  return found;
}

function drawPoints(div) {
  const traces = tracesOf(div);
  if (!traces.length) return;
  const canvas = canvasOf(div);
  const { xaxis, yaxis } = div._fullLayout;
  const context = canvas.getContext("2d");
  const scale = canvas.width / xaxis._length;
  const choose = chooser(traces, div, context);
  for (const [trace, { x, y }] of traces) {
    const { marker } = trace;
    const outline = new Path2D(OUTLINES[marker.symbol](marker.size / 2));
    const isChosen = choose(trace);
    [context.fillStyle, context.strokeStyle, context.lineWidth] = [marker.color, marker.line.color, marker.line.width];
    for (let i = 0; i < x.length; i++) {
      const [left, top] = [xaxis.d2p(x[i]), yaxis.d2p(y[i])];
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.globalAlpha = isChosen(left, top, i) ? 1 : DIMMED;
      context.setTransform(scale, 0, 0, scale, left * scale, top * scale);
      context.fill(outline);
      context.stroke(outline);
    }
  }
}

// Plotly's camera makes a picture of what Plotly draws: for that moment, all points.
function onCamera(event) {
  if (!event.target.closest("[data-attr=toImage], .modebar-btn[data-title^=Download]")) return;
  const traces = tracesOf(event.currentTarget).map(([trace]) => trace);
  for (const trace of traces) trace.mode = "markers";
  setTimeout(() => traces.forEach((trace) => (trace.mode = "none")));
}

