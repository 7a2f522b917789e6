// A trace in a file, which may still be growing.
class FollowedTrace {
  constructor(app) {
    this.app = app;
    source.hidden = true;
  }
  async start() {
    const trace = await getJson("trace.json"), { app } = this, live = document.getElementById("live");
    if (!app.lanes.length) {
      app.controllers = [{ spec: trace.controller, beta: trace.beta, idea: "" }];
      app.setLanes([{ controller: trace.controller, beta: trace.beta }]);
      document.getElementById("subtitle").textContent = "the trace of a live episode";
    }
    const [lane] = app.lanes;
    lane.running = trace.live;
    lane.take(trace);
    app.changed();
    live.textContent = trace.live ? "● live" : "● finished";
    if (trace.live) setTimeout(() => app.attempt(() => this.start()), 1000);
  }
  remember() {}
}
