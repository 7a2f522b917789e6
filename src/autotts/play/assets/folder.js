// A folder of runs, evaluations, stores and traces: listed, searched, and followed while they go on.
const KINDS = { run: "run", evaluation: "evaluation", store: "store", trace: "live trace" };
const search = h("input", { type: "search", "aria-label": "search", placeholder: "search by name, kind or content", oninput: () => drawList() });
const kindBoxes = Object.entries(KINDS).map(([kind, name]) => {
  const box = h("input", { type: "checkbox", checked: true, value: kind, onchange: () => drawList() });
  return [box, h("label", null, box, h("span", null, name))];
});
const listed_ = document.getElementById("stage");
let things = [], tag = null;

function drawList() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean), kinds = new Set(kindBoxes.filter(([box]) => box.checked).map(([box]) => box.value));
  const shown = things.filter((one) => kinds.has(one.kind) && words.every((word) => `${one.name} ${one.about} ${KINDS[one.kind]}`.toLowerCase().includes(word)));
  document.getElementById("subtitle").textContent = `${shown.length === things.length ? "" : `${shown.length} of `}${several(things.length, "thing")} to look at`;
  const byDigest = new Map(things.filter((one) => one.kind === "store").map((one) => [one.digests[0], one]));
  const rows = shown.map((one) => {
    const played = one.kind === "store" ? [] : unique(one.digests).map((digest) => byDigest.get(digest)).filter(Boolean);
    return h("li", { class: "thing" },
      h("span", { class: `badge ${one.kind}` }, KINDS[one.kind]),
      h("div", null, h("a", { href: `${one.kind}/${one.id}/` }, one.name), one.live ? h("span", { class: "badge good" }, "at work") : "",
        h("p", { class: "note" }, one.about),
        played.length ? h("p", { class: "note" }, "episodes on ", played.slice(0, 8).map((store) => [h("a", { href: `store/${store.id}/` }, store.name), " "])) : ""),
      h("time", { class: "note", datetime: new Date(1000 * one.changed).toISOString() }, new Date(1000 * one.changed).toLocaleString()));
  });
  listed_.replaceChildren(rows.length ? h("ul", { class: "things card" }, rows) : h("p", { class: "card note" }, things.length ? "Nothing here has all of these words." : "There is no run, evaluation, store or trace in this folder yet. The page looks again by itself."));
}
async function follow() {
  const status = document.getElementById("live");
  try {
    const reply = await fetch("index.json", { headers: tag ? { "If-None-Match": tag } : {} });
    if (reply.status === 200) {
      things = await reply.json();
      tag = reply.headers.get("ETag");
      const held = document.activeElement?.getAttribute?.("href");
      drawList();
      if (held) listed_.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus();
    }
    status.textContent = "● live";
  } catch {
    status.textContent = "○ not connected";
  }
  setTimeout(follow, 2000);
}
document.getElementById("title").textContent = data.title;
document.getElementById("footer").textContent = `autotts ${data.version}`;
fill(document.getElementById("source"), {}, [h("div", { class: "row" }, h("div", { class: "grow" }, search), kindBoxes.map(([, label]) => label))]);
drawTheme(() => {});
follow();
