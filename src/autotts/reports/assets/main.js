// Tabs, theme, and news of a run that goes on.
const TABS = { overview: ["Overview", overview], curves: ["Curves", curves], rounds: ["Rounds", rounds], matters: ["What matters here", matters], questions: ["Questions", questions], waste: ["Waste", waste], pool: ["Pool", pool] };
const main = document.getElementById("main");
// An evaluation has no rounds and explores nothing; a run that goes on may yet get some.
const absent = { rounds: () => !data.rounds.length && !data.live, matters: () => !data.matters };
const shownTabs = () => Object.keys(TABS).filter((name) => !absent[name]?.());
const current = () => (shownTabs().includes(location.hash.slice(1)) ? location.hash.slice(1) : "overview");

function render() {
  hideTip();
  // Whoever used a control finds the focus where it was.
  const held = main.contains(document.activeElement) ? path(document.activeElement) : null;
  const scrolled = window.scrollY;
  const name = current();
  document.querySelectorAll("[role=tab]").forEach((tab) => {
    const here = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(here));
    tab.tabIndex = here ? 0 : -1;
    if (here) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 60;
  });
  main.replaceChildren(h("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}` }, TABS[name][1]()));
  window.scrollTo(0, scrolled);
  held?.reduce((node, k) => node?.children[k], main)?.focus({ preventScroll: true });
}
function path(node) {
  const steps = [];
  for (; node !== main; node = node.parentElement) steps.unshift([...node.parentElement.children].indexOf(node));
  return steps;
}
function open(name) {
  history.replaceState(null, "", `#${name}`);
  window.scrollTo(0, 0);
  render();
}
function drawHead() {
  document.title = data.title;
  document.getElementById("title").textContent = data.title;
  const names = stores(data.lines).filter((name) => name !== data.mean && name !== data.held_out);
  document.getElementById("subtitle").textContent = [
    data.rounds.length ? several(data.rounds.length, "proposal") : null,
    several(controllers().length, "controller"), names.length ? names.join(", ") : null].filter(Boolean).join(" · ");
  document.getElementById("footer").textContent = `autotts ${data.made_by.autotts ?? data.made_by.version ?? ""}`;
}
function drawTabs() {
  const keys = shownTabs();
  const list = document.getElementById("tabs");
  list.replaceChildren(...keys.map((name) => h("button", {
    type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => open(name),
  }, TABS[name][0])));
  list.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1, Home: -99, End: 99 }[event.key];
    if (!move) return;
    event.preventDefault();
    const k = keys.indexOf(current()) + move;
    const next = Math.abs(move) > 1 ? Math.min(Math.max(k, 0), keys.length - 1) : (k + keys.length) % keys.length;
    open(keys[next]);
    document.getElementById(`tab-${keys[next]}`).focus();
  });
}
async function news() {
  const status = document.getElementById("live");
  try {
    const answer = await fetch("data.json", { headers: data.version ? { "If-None-Match": data.version } : {} });
    if (answer.status === 200) {
      data = await answer.json();
      data.version = answer.headers.get("ETag");
      drawHead();
      render();
    }
    status.textContent = data.live ? "● live" : "● finished";
    if (!data.live) return;
  } catch {
    status.textContent = "○ not connected";
  }
  setTimeout(news, 2000);
}

drawHead();
drawTabs();
drawTheme(render);
window.addEventListener("hashchange", render);
render();
if (data.live && location.protocol === "http:") news();
