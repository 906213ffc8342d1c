// What the app learns from the browser and keeps in it: how much room the page has, stars and notes in the browser's
// own storage, and one history entry for the whole dashboard, so that Back leaves it at once.

const STEP = 10;
const PREFIX = "featurediff star ";
const MOST = 1000;

// Streamlit makes a history entry of each change of the URL that the server makes, but going back to one restores no
// choice. So a change within the page replaces the entry, as the browser's own changes do.
const push = history.pushState.bind(history);
history.pushState = (state, title, url) => {
  const same = new URL(url ?? location.href, location.href).pathname === location.pathname;
  (same ? history.replaceState.bind(history) : push)(state, title, url);
};

function measure() {
  const block = document.querySelector("[data-testid=stMainBlockContainer]");
  if (!block) return null;
  const { paddingLeft, paddingRight } = getComputedStyle(block);
  const width = block.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  return [width, window.innerHeight].map((pixels) => Math.floor(pixels / STEP) * STEP);
}

// A page in a frame may have no storage: then stars last as long as the page.
function storage() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

function readStars() {
  const kept = storage();
  const names = kept ? Object.keys(kept).filter((name) => name.startsWith(PREFIX)).slice(0, MOST) : [];
  return names.map((name) => [name.slice(PREFIX.length), kept.getItem(name)]);
}

function keepStars({ stars, gone }) {
  const kept = storage();
  try {
    for (const [name, note] of stars) kept?.setItem(PREFIX + name, note);
    for (const name of gone) kept?.removeItem(PREFIX + name);
  } catch {
    // The storage is full: stars last as long as the page.
  }
}

const state = { room: "", kept: "", timer: null };

export default function ({ data, setStateValue }) {
  const tell = () => {
    const room = measure();
    if (!room || String(room) === state.room) return;
    state.room = String(room);
    setStateValue("seen", { room, stars: readStars() });
  };
  const later = () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(tell, 250);
  };
  const text = JSON.stringify(data);
  if (text !== state.kept) keepStars(data);
  state.kept = text;
  if (data.known) later(); // when the page comes back from another one, its width is not settled yet
  else {
    state.room = ""; // a session of the server that has seen nothing yet
    tell();
  }
  const observer = new ResizeObserver(later);
  const block = document.querySelector("[data-testid=stMainBlockContainer]");
  if (block) observer.observe(block);
  window.addEventListener("resize", later);
  return () => {
    observer.disconnect();
    window.removeEventListener("resize", later);
  };
}
