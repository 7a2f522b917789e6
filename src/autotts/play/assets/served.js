// The model of the service that sent this page: asked, watched while its branches run, and what it said.
class ServedModel {
  constructor(app) {
    this.app = app;
    // A key is held here, in memory, and nowhere else.
    this.key = h("input", { type: "password", autocomplete: "off", spellcheck: "false", placeholder: "key of this service", onchange: () => app.attempt(() => this.connect()) });
    this.keyField = h("form", { hidden: true, onsubmit: (event) => { event.preventDefault(); app.attempt(() => this.connect()); } }, h("label", null, h("span", null, "key"), this.key));
    this.text = h("textarea", { "aria-label": "your question", placeholder: "Ask something that can be right or wrong, such as: What is $\\sum_{k=1}^{10} k^2$?", onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.ask(); } });
    this.asker = h("button", { type: "button", class: "main", onclick: () => this.ask() }, "Ask");
    this.stopper = h("button", { type: "button", hidden: true, onclick: () => this.stop() }, "Stop");
    this.hint = h("span", { class: "note" });
    fill(source, {}, [this.text, h("div", { class: "row" }, this.asker, this.stopper, this.keyField, this.hint)]);
    this.asked = null;
  }
  get headers() { return this.key.value ? { authorization: `Bearer ${this.key.value}` } : {}; }
  async start() {
    document.getElementById("subtitle").textContent = "branches of a model, as they are decoded";
    await this.connect();
    this.text.focus();
  }
  async connect() {
    const reply = await fetch("v1/models", { headers: this.headers });
    if (reply.status === 401) {
      this.keyField.hidden = false;
      this.asker.disabled = true;
      if (this.key.value) throw new Refused("The service doesn't take this key.");
      this.hint.textContent = "This service asks for a key. The page keeps it in memory only.";
      return;
    }
    const names = (await reply.json()).data.map((one) => one.id);
    this.model = names[0];
    const served = names.filter((name) => name.startsWith(`${this.model}@`)).map((name) => name.slice(this.model.length + 1)).filter((name) => !name.includes(":"));
    document.getElementById("subtitle").textContent = `${this.model}: its branches, as they are decoded`;
    this.asker.disabled = false;
    this.hint.replaceChildren(h("kbd", null, "Ctrl"), " ", h("kbd", null, "Enter"));
    this.app.controllers = served.map((spec) => ({ spec, beta: 0.5, idea: "" }));
    if (!this.app.lanes.length) this.app.setLanes([{ controller: served[0], beta: 0.5 }]);
  }
  // A knob was moved. Asking costs, so nothing is asked before somebody says so.
  async laneChanged(lane) {
    lane.remark = this.asked ? "Ask again to see it so." : "";
    if (!lane.running) lane.draw();
  }
  remember() {}
  stop() { this.asked?.abort(); }
  async ask() {
    const question = this.text.value.trim();
    if (!question || this.asker.disabled) { this.text.focus(); return; }
    const { app } = this, control = (this.asked = new AbortController());
    this.asker.disabled = true;
    this.stopper.hidden = false;
    app.ranks = new Map();
    app.transport.at = app.transport.last;
    // One seed: both lanes get the same branches, as far as the server can decode them again.
    const seed = Math.floor(Math.random() * 2 ** 31);
    await Promise.all(app.lanes.map((lane) => app.attempt(() => this.run(lane, question, seed, control.signal))));
    this.asker.disabled = false;
    this.stopper.hidden = true;
  }
  async run(lane, question, seed, signal) {
    const { controller, beta } = lane.chosen, trace = { ...NOTHING_YET, answers: [], steps: [], ahead: [] }, said = { thinking: "", text: "" };
    Object.assign(lane, { running: true, remark: "", problem: "" });
    lane.reply.hidden = true;
    lane.take(trace);
    this.app.changed();
    const body = { model: this.model, controller, beta, seed, messages: [{ role: "user", content: question }], stream: true, stream_options: { include_usage: true }, progress: "trace" };
    try {
      const reply = await fetch("v1/chat/completions", { method: "POST", signal, headers: { ...this.headers, "content-type": "application/json" }, body: JSON.stringify(body) });
      if (!reply.ok) throw new Refused((await reply.json()).error.message);
      for await (const [kind, part] of events(reply.body)) {
        if (part.error) throw new Refused(part.error.message);
        if (kind === "autotts.progress") this.grow(lane, trace, part);
        else this.hear(lane, trace, said, part);
      }
    } catch (error) {
      lane.problem = error.name === "AbortError" ? "stopped" : error instanceof Refused ? error.message : "the connection broke";
      throw error;
    } finally {
      lane.running = false;
      trace.ahead = [];
      const { problem } = lane;
      lane.take(trace);
      lane.problem = problem;
      this.app.changed();
      this.app.transport.say();
    }
  }
  grow(lane, trace, part) {
    trace.steps.push(...part.steps);
    trace.answers.push(...part.answers);
    trace.ahead = part.ahead;
    Object.assign(trace, { rounds: part.rounds, tokens: part.tokens });
    lane.take(trace);
    // Many events may come at once; one picture shows them all.
    this.due ??= requestAnimationFrame(() => { this.due = null; this.app.changed(); });
  }
  hear(lane, trace, said, part) {
    const delta = part.choices?.[0]?.delta;
    said.thinking += delta?.reasoning_content ?? "";
    said.text += delta?.content ?? "";
    const account = part.usage?.autotts;
    if (!account) return;
    let at = account.answer === "" ? -1 : trace.answers.indexOf(account.answer);
    if (at < 0 && account.answer !== "") at = trace.answers.push(account.answer) - 1;
    Object.assign(trace, { answer: at, sequential_tokens: account.sequential_tokens, remark: account.stop_reason === "answered" ? "" : `ended by: ${account.stop_reason}` });
    lane.reply.hidden = false;
    lane.reply.replaceChildren(h("h3", null, "What it says"), h("div", { class: "reply", tabindex: 0 }, rich(said.text || "nothing")),
      said.thinking ? h("details", null, h("summary", null, "What this branch thought"), h("div", { class: "thoughts" }, rich(said.thinking))) : "",
      h("details", null, h("summary", null, `Usage: ${whole(account.total_tokens)} tokens${account.cost ? `, cost ${+account.cost.toPrecision(3)}` : ""}`), usageList(account)));
  }
}
function usageList(account) {
  const value = (v) => (typeof v === "number" && Number.isInteger(v) ? whole(v) : typeof v === "number" ? String(+v.toPrecision(4)) : String(v));
  return h("dl", { class: "usage" }, Object.entries(account).map(([name, v]) => [h("dt", null, name.replaceAll("_", " ")), h("dd", null, value(v))]));
}
// Server-sent events of a reply: kind and JSON of each.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n"), field = (name) => lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)).join("\n");
      const text = field("data");
      if (text && text !== "[DONE]") yield [field("event"), JSON.parse(text)];
    }
  }
}
