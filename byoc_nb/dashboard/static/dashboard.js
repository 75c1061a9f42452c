// All of it: the parts of a dashboard, and what goes between them and the connection.

const STATES = {
  connecting: "connecting …",
  live: "live",
  "over messages": "live over the kernel's messages: it stands still while a cell runs",
  lost: "connection lost, trying again …",
  full: "eight dashboards are open already; close one and reload the page",
  stopped: "stopped · %byoc serve starts again",
};

function render({ model, el }) {
  const id = `byoc-${Date.now()}-${++views}`;
  const send = (message) => link.send(message);
  const ask = (message) => link.request(message);
  const camera = new Camera((buffer) => link.film(buffer));
  const pictures = new Pictures(send), stats = new Stats(), log = new Log(), plot = new Plot(send);
  const params = new Params(ask, id), presets = new Presets(ask, id), source = new Source(ask, camera, id);
  const tabs = new Tabs(id, "about the stream", { Stream: stats.element, Plot: plot.element, Log: log.element }, (name) => plot.look({ open: name === "Plot" }));

  const state = h("span", { className: "byoc-state", role: "status" });
  const wide = button("Full width", () => (wide.setAttribute("aria-pressed", root.classList.toggle("byoc-wide")), look()), { "aria-pressed": "false" });
  const bar = h("div", { className: "byoc-bar-top", role: "toolbar", "aria-label": "picture" }, state, presets.inForce, pictures.wipe, h("label", {}, "View ", pictures.mode), pictures.pause, pictures.snapshot, wide);
  const under = h("div", { className: "byoc-under" }, pictures.pixel);
  const left = h("div", {}, params.element, presets.element);
  const columns = h("div", { className: "byoc-columns" }, left, tabs.element);
  const root = h("div", { className: "byoc-dashboard" }, bar, pictures.captions, pictures.canvas, under, source.element, stats.error, columns);
  // The notebook's own shortcuts would take arrow keys and letters; only the one that saves stays. JupyterLab
  // looks for this attribute on the element that has the focus, before anything here hears of the key
  const suppress = ({ target, key, ctrlKey, metaKey }) => {
    if (root.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", !((ctrlKey || metaKey) && key === "s"));
  };
  window.addEventListener("keydown", suppress, true);
  root.addEventListener("keydown", (event) => presets.key(event));
  el.append(root);

  let onScreen = false;
  const look = () => {
    const visible = onScreen && !document.hidden;
    send({ type: "view", visible, wide: root.classList.contains("byoc-wide") });
    plot.look({ visible });
  };
  const watcher = new IntersectionObserver((entries) => ((onScreen = entries[entries.length - 1].isIntersecting), look()));
  watcher.observe(root);
  document.addEventListener("visibilitychange", look);

  const takes = {
    stats(message) {
      stats.take(message);
      if (link.over || root.dataset.state === "live") tell(state, [STATES[root.dataset.state], message.processor].filter(Boolean).join(" · "));
    },
    log(message) {
      log.take(message);
      tabs.label("Log", log.list.childElementCount ? `Log (${log.list.childElementCount})` : "Log");
    },
    params(message) {
      params.take(message);
      presets.now(message.values);
    },
    values: (message) => takes.params(message),
    presets: (message) => presets.take(message),
    source: (message) => source.take(message),
    camera: (message) => camera.set(message.films),
    filmed: () => camera.filmed(),
    pixel: (message) => pictures.tellPixel(message),
    plot: (message) => plot.take(message),
  };

  const link = new Link(model, {
    pictures: (buffer) => pictures.take(buffer),
    state(name) {
      tell(state, STATES[name]);
      root.dataset.state = name;
      if (name !== "live" && name !== "over messages") return source.reconnected();
      pictures.forget(false);
      log.clear();
      look();
    },
    message: (message) => takes[message.type]?.(message),
    here: look, // the server may have forgotten it while the kernel was blocked
  });
  return () => {
    watcher.disconnect();
    document.removeEventListener("visibilitychange", look);
    window.removeEventListener("keydown", suppress, true);
    camera.close();
    plot.close();
    link.close();
  };
}

export default { render };
