// Where a hover text has a format of its own, Plotly writes a hyphen for the minus sign that stands everywhere else.
function writeMinuses(chart) {
  const layer = document.createNodeIterator(chart.querySelector(".hoverlayer"), NodeFilter.SHOW_TEXT);
  for (let node = layer.nextNode(); node; node = layer.nextNode()) {
    node.data = node.data.replace(/(: |\(| to |\de)-(?=\d)/g, "$1−");
  }
}
