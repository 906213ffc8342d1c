// For those who use the page by keyboard or hear it: what Streamlit and Plotly leave out. Buttons with an icon alone get
// a name; a toolbar of a chart is one stop of the Tab key, and arrow keys move within it; a place that scrolls can be
// reached, so that arrow keys scroll it.

const NAMES = {
  star: (button) => (button.getAttribute("kind") === "primary" ? "Remove star and note" : "Star this feature"),
  "step-1": () => "Previous feature in the table",
  step1: () => "Next feature in the table",
  close: () => "Close the details",
};
const TOOLBAR = "[role=toolbar]";

function nameButtons() {
  for (const [key, name] of Object.entries(NAMES)) {
    for (const button of document.querySelectorAll(`.st-key-${key} button`)) {
      button.setAttribute("aria-label", name(button));
    }
  }
}

function toolsOf(toolbar) {
  return [...toolbar.querySelectorAll("button")];
}

function onKey(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const toolbar = step && event.target.closest?.(TOOLBAR);
  if (!toolbar) return;
  const tools = toolsOf(toolbar);
  const next = tools[(tools.indexOf(event.target) + step + tools.length) % tools.length];
  for (const tool of tools) tool.tabIndex = tool === next ? 0 : -1;
  next.focus();
  event.preventDefault();
}

function gatherTools() {
  for (const toolbar of document.querySelectorAll(TOOLBAR)) {
    const tools = toolsOf(toolbar);
    if (tools.filter((tool) => tool.tabIndex === 0).length === 1) continue;
    tools.forEach((tool, i) => (tool.tabIndex = i ? -1 : 0));
  }
}

function reachScrolled() {
  for (const place of document.querySelectorAll("[data-testid=stVerticalBlock][height]")) {
    const isScrolled = place.scrollHeight > place.clientHeight + 1 && !place.querySelector("a, button, input, canvas");
    if (isScrolled) place.tabIndex = 0;
    else place.removeAttribute("tabindex");
  }
}

function help() {
  nameButtons();
  gatherTools();
  reachScrolled();
}

export default function () {
  let timer = null;
  const later = () => {
    timer ??= setTimeout(() => {
      timer = null;
      help();
    }, 50);
  };
  help();
  const observer = new MutationObserver(later);
  observer.observe(document.body, { childList: true, subtree: true, attributeFilter: ["kind"] });
  document.addEventListener("keydown", onKey, true);
  return () => {
    clearTimeout(timer);
    observer.disconnect();
    document.removeEventListener("keydown", onKey, true);
  };
}
