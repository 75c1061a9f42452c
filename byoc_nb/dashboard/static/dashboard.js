// The page's side of the dashboard: plain JavaScript, no build. All state comes from the server, over one WebSocket;
// the widget's own messages tell where that is, and stand in for it where no WebSocket gets through. The class Params
// is in params.js, which is joined to this (see widget.py).

const PATH = "dashboard/ws";
const OPEN_MS = 3000; // for a WebSocket to open, before the next way is tried
const RETRY_MS = 1000;
const HERE_MS = 10000; // a view without a WebSocket says so often that it is still there
const LOG_ENTRIES = 300;
const GAP = 8; // pixels between the two pictures

let views = 0;

/** An element with properties, attributes (where there is no such property) and children. */
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list" && name !== "role") element[name] = value;
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// ---- the connection

/** Where the server can be: through the Jupyter server's proxy, or on this machine if the page comes from there. */
function addresses(port) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  let base = document.body.dataset.baseUrl;
  try {
    base = base || JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl;
  } catch {
    base = "/";
  }
  const found = [`${scheme}//${location.host}${base.replace(/\/?$/, "/")}proxy/${port}/${PATH}`];
  const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(location.hostname);
  return loopback ? [...found, `ws://127.0.0.1:${port}/${PATH}`] : found;
}

/** Keeps a view connected; calls `on.message(object)`, `on.pictures(buffer)`, `on.state(name)`. */
class Link {
  constructor(model, on) {
    Object.assign(this, { model, on, socket: null, where: null, over: false, closed: false, attempt: 0 });
    this.view = `${Date.now()}-${++views}`;
    this.fromKernel = (message, buffers) => this.heard(message, buffers);
    model.on("msg:custom", this.fromKernel);
    this.here = setInterval(() => this.over && this.send({ type: "here" }), HERE_MS);
    this.ask();
  }

  ask() {
    this.model.send({ type: "where" });
  }

  heard(message, buffers) {
    if (message.type === "where") {
      const same = this.where?.token === message.token && this.socket?.readyState === WebSocket.OPEN;
      this.where = message;
      if (!same) this.connect();
    } else if (message.type === "stopped") {
      this.stopped();
    } else if (message.type === "message" && message.view === this.view && this.over) {
      if (message.text === null) this.on.pictures(buffers[0].buffer.slice(buffers[0].byteOffset, buffers[0].byteOffset + buffers[0].byteLength));
      else this.take(JSON.parse(message.text));
    }
  }

  async connect() {
    const attempt = ++this.attempt;
    this.over = false;
    this.socket?.close();
    this.on.state("connecting");
    for (const address of addresses(this.where.port)) {
      const found = await opened(address, this.where.token);
      if (this.closed || attempt !== this.attempt) return void found?.socket.close();
      if (!found) continue;
      const { socket, first } = found;
      this.socket = socket;
      this.worked = true;
      socket.onmessage = ({ data }) => (typeof data === "string" ? this.take(JSON.parse(data)) : this.on.pictures(data));
      socket.onclose = () => this.socket === socket && this.lost();
      if (first.type !== "refused") this.on.state("live");
      return this.take(first);
    }
    if (this.worked) return this.lost(); // it is the connection that is gone, not a way that is closed
    this.socket = null;
    this.over = true;
    this.on.state("over messages");
  }

  take(message) {
    if (message.type === "stopped") this.stopped();
    else if (message.type === "refused" && message.why === "full") {
      this.socket = null;
      this.on.state("full");
    } else if (message.type !== "refused") this.on.message(message);
  }

  stopped() {
    this.socket = this.where = null;
    this.over = false;
    this.attempt++;
    this.on.state("stopped");
  }

  lost() {
    if (this.closed || !this.where) return;
    this.socket = null;
    this.on.state("lost");
    const attempt = this.attempt;
    setTimeout(() => {
      if (this.closed || attempt !== this.attempt) return;
      this.ask(); // the server may be another one by now; a blocked kernel answers later
      this.connect();
    }, RETRY_MS);
  }

  send(message) {
    const text = JSON.stringify(message);
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(text);
    else if (this.over) this.model.send({ type: "message", view: this.view, text });
  }

  close() {
    this.closed = true;
    clearInterval(this.here);
    this.model.off("msg:custom", this.fromKernel);
    this.socket?.close();
  }
}

/** A WebSocket that the server talks on, with its first message, or null. A proxy may open one that leads nowhere. */
function opened(address, token) {
  return new Promise((resolve) => {
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    const timer = setTimeout(() => (socket.close(), resolve(null)), OPEN_MS);
    const done = (result) => (clearTimeout(timer), resolve(result));
    socket.onopen = () => socket.send(JSON.stringify({ token }));
    socket.onmessage = ({ data }) => done({ socket, first: JSON.parse(data) });
    socket.onerror = socket.onclose = () => done(null);
  });
}

// ---- the pictures

/** The canvas with both pictures, side by side or one wiped over the other. */
class Pictures {
  constructor(send) {
    Object.assign(this, { send, pair: null, sizes: null, paused: false, unseen: [], work: Promise.resolve() });
    this.canvas = h("canvas", { className: "byoc-canvas", width: 1280, height: 360, role: "img", "aria-label": "input and output pictures" });
    this.canvas.onpointermove = (event) => this.point(event);
    this.canvas.onpointerleave = () => (this.pixel.textContent = "");
    this.pixel = h("output", { className: "byoc-pixel", "aria-label": "pixel under the cursor" });
    this.pause = h("button", { type: "button", textContent: "Pause", "aria-pressed": "false", onclick: () => this.toggle() });
    this.mode = h("select", { onchange: () => this.draw() }, h("option", { value: "side" }, "side by side"), h("option", { value: "wipe" }, "wipe"));
    this.edge = h("input", { type: "range", min: 0, max: 100, value: 50, oninput: () => this.draw() });
    this.wipe = h("label", { className: "byoc-wipe", hidden: true }, "input ", this.edge, " output");
    this.captions = h("div", { className: "byoc-captions" });
    this.tiny = h("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  }

  /** A message with two JPEGs (see pictures.py). Drawn or not, it is acknowledged, unless the view is paused. */
  take(buffer) {
    if (this.paused) return void this.unseen.push(buffer);
    this.work = this.work.then(() => this.show(buffer)).catch(console.error).then(() => this.send({ type: "drawn" }));
  }

  async show(buffer) {
    const length = new DataView(buffer).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    let at = 4 + length;
    const pair = await Promise.all(
      header.lengths.map((size) => createImageBitmap(new Blob([new Uint8Array(buffer, (at += size) - size, size)], { type: "image/jpeg" }))),
    );
    this.pair?.forEach((picture) => picture.close());
    Object.assign(this, { pair, sizes: header.sizes });
    this.canvas.dataset.at = header.at;
    this.draw();
  }

  draw() {
    const wiping = this.mode.value === "wipe";
    this.wipe.hidden = !wiping;
    if (!this.pair) return;
    const [before, after] = this.pair;
    const left = wiping ? 0 : before.width + GAP;
    const width = left + after.width, height = wiping ? after.height : Math.max(before.height, after.height);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    if (!wiping) context.clearRect(before.width, 0, GAP, height);
    context.drawImage(after, left, 0);
    if (wiping) {
      const edge = (width * this.edge.value) / 100;
      context.drawImage(before, 0, 0, (before.width * this.edge.value) / 100, before.height, 0, 0, edge, height);
      context.fillStyle = "white";
      context.fillRect(edge - 1, 0, 2, height);
    } else context.drawImage(before, 0, 0);
    const sizes = this.sizes.map(([wide, high]) => `${wide}×${high}`);
    const captions = wiping ? [] : [`input ${sizes[0]}`, `output ${sizes[1]}`];
    if (this.captions.textContent !== captions.join("")) this.captions.replaceChildren(...captions.map((text) => h("span", {}, text)));
  }

  /** Tell the colours under the pointer, in both pictures. */
  point(event) {
    if (!this.pair) return;
    const box = this.canvas.getBoundingClientRect();
    let x = ((event.clientX - box.left) / box.width) * this.canvas.width;
    const y = (event.clientY - box.top) / box.height;
    const [before, after] = this.pair;
    const side = this.mode.value === "side";
    const first = side && x < before.width;
    if (side && !first) x -= before.width + GAP;
    x /= (first ? before : after).width;
    if (x < 0 || x >= 1 || y < 0 || y >= 1) return void (this.pixel.textContent = "");
    const colors = this.pair.map((picture) => {
      this.tiny.drawImage(picture, Math.floor(x * picture.width), Math.floor(y * picture.height), 1, 1, 0, 0, 1, 1);
      return [...this.tiny.getImageData(0, 0, 1, 1).data.slice(0, 3)].join(" ");
    });
    const [wide, high] = this.sizes[first ? 0 : 1];
    this.pixel.textContent = `${Math.floor(x * wide)}, ${Math.floor(y * high)} · input ${colors[0]} · output ${colors[1]}`;
  }

  toggle() {
    this.paused = !this.paused;
    this.pause.textContent = this.paused ? "Go on" : "Pause";
    this.pause.setAttribute("aria-pressed", this.paused);
    if (!this.paused) this.forget(true);
  }

  /** What came while it was paused is over; `tell` the server that there is room again. */
  forget(tell) {
    const unseen = this.unseen.splice(0);
    if (tell) unseen.forEach((buffer) => this.take(buffer));
  }

  snapshot() {
    this.canvas.toBlob((blob) => {
      const link = h("a", { href: URL.createObjectURL(blob), download: `byoc-${this.canvas.dataset.at ?? 0}s.png` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), RETRY_MS);
    }, "image/png");
  }
}

// ---- figures, errors, log

const STAGES = ["decode", "queue", "process", "encode", "publish"];
const ms = (value) => (value === null || value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();

class Stats {
  constructor() {
    this.verdict = h("p", { className: "byoc-verdict", role: "status" });
    this.table = h("dl", { className: "byoc-figures" });
    this.bars = h("div", { className: "byoc-bars" });
    this.element = h("section", { className: "byoc-stats", "aria-label": "statistics" }, h("h3", {}, "Stream"), this.verdict, this.table, this.bars);
    this.error = h("div", { className: "byoc-error", role: "status", hidden: true });
  }

  take(message) {
    const verdict = message.verdict ?? { text: "no stream yet", good: true };
    const text = `${verdict.good ? "✓" : "⚠"} ${verdict.text}`;
    if (this.verdict.textContent !== text) this.verdict.textContent = text; // read out when it changes
    this.verdict.classList.toggle("byoc-bad", !verdict.good);
    const drops = Object.entries(message.drops ?? {}).map(([cause, count]) => `${count} ${cause}`);
    const memory = Object.entries(message.memory).map(([where, bytes]) => `${(bytes / 2 ** 20).toFixed(0)} MB${where === "gpu" ? " on the GPU" : ""}`);
    const rows = {};
    if (message.fps_in !== undefined) {
      Object.assign(rows, {
        "Frames per second": `${message.fps_in.toFixed(1)} in, ${message.fps_out.toFixed(1)} out`,
        Latency: `p50 ${ms(message.latency_ms_p50)}, p99 ${ms(message.latency_ms_p99)}`,
        Dropped: `${message.frames_dropped} of ${message.frames_in}${drops.length ? `: ${drops.join(", ")}` : ""}`,
      });
      this.showBars(message.stages_ms, message.budget_ms);
    }
    rows.Memory = memory.join(", ");
    this.table.replaceChildren(...Object.entries(rows).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    this.showError(message.error);
  }

  showBars(stages, budget) {
    const full = Math.max(budget ?? 0, ...STAGES.map((stage) => stages[stage]?.p50 ?? 0)) || 1;
    this.bars.style.setProperty("--byoc-budget", budget ? `${(budget / full) * 100}%` : "100%");
    this.bars.replaceChildren(
      h("div", { className: "byoc-budget" }, budget ? `time per stage; the line is the frame's budget, ${ms(budget)}` : "time per stage"),
      ...STAGES.map((stage) => {
        const took = stages[stage]?.p50 ?? 0;
        const bar = h("span", { className: budget && took > budget ? "byoc-bar byoc-bad" : "byoc-bar" });
        bar.style.width = `${(took / full) * 100}%`;
        return h("div", { className: "byoc-stage" }, h("span", {}, stage), h("span", { className: "byoc-track" }, bar), h("span", {}, ms(stages[stage]?.p50)));
      }),
    );
  }

  showError(error) {
    this.error.hidden = !error;
    if (!error) return;
    const times = `${error.count}× · last at ${clock(error.at)}${error.total > error.count ? ` · ${error.total} errors in all` : ""}`;
    this.error.replaceChildren(h("strong", {}, error.line), h("span", {}, times));
  }
}

class Log {
  constructor() {
    this.last = 0;
    this.list = h("ol", { className: "byoc-log", tabIndex: 0, "aria-label": "log" });
    const levels = { all: "everything", warning: "warnings and errors", error: "errors" };
    this.level = h("select", { onchange: () => (this.list.dataset.level = this.level.value) }, ...Object.entries(levels).map(([value, text]) => h("option", { value }, text)));
    this.count = h("span");
    this.element = h("details", {}, h("summary", {}, "Log", this.count), h("label", {}, "show ", this.level), this.list);
  }

  take({ entries }) {
    if (entries.length && entries[entries.length - 1].number < this.last) this.clear(); // another server's
    for (const entry of entries.filter(({ number }) => number > this.last)) {
      this.last = entry.number;
      this.list.prepend(h("li", { "data-level": entry.level }, h("time", {}, clock(entry.at)), h("span", {}, entry.level), h("pre", {}, entry.text)));
    }
    while (this.list.childElementCount > LOG_ENTRIES) this.list.lastElementChild.remove();
    this.count.textContent = this.list.childElementCount ? ` (${this.list.childElementCount})` : "";
  }

  clear() {
    this.last = 0;
    this.list.replaceChildren();
  }
}

// ---- all of it

const STATES = {
  connecting: "connecting …",
  live: "live",
  "over messages": "live over the kernel's messages: it stands still while a cell runs",
  lost: "connection lost, trying again …",
  full: "eight dashboards are open already; close one and reload the page",
  stopped: "stopped · %byoc serve starts again",
};

function render({ model, el }) {
  const send = (message) => link.send(message);
  const pictures = new Pictures(send), params = new Params(send, `byoc-${Date.now()}-${++views}`), stats = new Stats(), log = new Log();
  const state = h("span", { className: "byoc-state", role: "status" });
  const wide = h("button", { type: "button", "aria-pressed": "false", onclick: () => (wide.setAttribute("aria-pressed", root.classList.toggle("byoc-wide")), look()) }, "Full width");
  const snapshot = h("button", { type: "button", onclick: () => pictures.snapshot() }, "Snapshot");
  const bar = h("div", { className: "byoc-bar-top", role: "toolbar", "aria-label": "picture" }, state, pictures.pause, snapshot, wide, h("label", {}, "View ", pictures.mode), pictures.wipe);
  // The notebook's own shortcuts would take arrow keys and letters from sliders and buttons
  const root = h("div", { className: "byoc-dashboard", "data-lm-suppress-shortcuts": "true" }, bar, pictures.captions, pictures.canvas, h("div", { className: "byoc-under" }, pictures.pixel), stats.error, h("div", { className: "byoc-columns" }, params.element, stats.element), log.element);
  el.append(root);

  let onScreen = false;
  const look = () => send({ type: "view", visible: onScreen && !document.hidden, wide: root.classList.contains("byoc-wide") });
  const watcher = new IntersectionObserver((entries) => ((onScreen = entries[entries.length - 1].isIntersecting), look()));
  watcher.observe(pictures.canvas);
  document.addEventListener("visibilitychange", look);

  const link = new Link(model, {
    pictures: (buffer) => pictures.take(buffer),
    state(name) {
      state.textContent = STATES[name];
      root.dataset.state = name;
      if (name === "live" || name === "over messages") {
        pictures.forget(false);
        log.clear();
        look();
      }
    },
    message(message) {
      if (message.type === "stats") {
        stats.take(message);
        if (link.over || root.dataset.state === "live") state.textContent = [STATES[root.dataset.state], message.processor].join(" · ");
      } else if (message.type === "log") log.take(message);
      else params.take(message);
    },
  });
  return () => {
    watcher.disconnect();
    document.removeEventListener("visibilitychange", look);
    link.close();
  };
}

export default { render };
