// The connection to the server: one WebSocket. The widget's own messages tell where that is, and stand in for it where no
// WebSocket gets through.

const PATH = "dashboard/ws";
const OPEN_MS = 3000; // for a WebSocket to open, before the next way is tried
const RETRY_MS = 1000;
const HERE_MS = 10000; // a view without a WebSocket says so often that it is still there

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

/** Keeps a view connected; calls `on.message(object)`, `on.pictures(buffer)`, `on.state(name)`, and now and then `on.here()`. */
class Link {
  constructor(model, on) {
    Object.assign(this, { model, on, socket: null, where: null, over: false, closed: false, attempt: 0 });
    Object.assign(this, { number: 0, waiting: new Map() });
    this.fromKernel = (message, buffers) => this.heard(message, buffers);
    model.on("msg:custom", this.fromKernel);
    this.here = setInterval(() => this.over && this.on.here(), HERE_MS);
    this.ask();
  }

  ask() {
    this.model.send({ type: "where" });
  }

  heard(message, buffers) {
    if (message.type === "where") {
      const connected = this.over || this.socket?.readyState === WebSocket.OPEN;
      const same = connected && this.where?.token === message.token; // the answer to another view
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
    this.waiting.clear();
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
    this.view = `${Date.now()}-${++views}`; // a new one: what was sent to another meanwhile was not heard
    this.on.state("over messages");
  }

  take(message) {
    if (message.type === "stopped") this.stopped();
    else if (message.type === "refused" && message.why === "full") {
      this.socket = null;
      this.on.state("full");
    } else if (this.waiting.has(message.number)) {
      this.waiting.get(message.number)(message);
      this.waiting.delete(message.number);
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

  /** Send a message with a number of its own; resolves to the answer, never if the connection is lost meanwhile. */
  request(message) {
    const number = ++this.number;
    return new Promise((resolve) => {
      this.waiting.set(number, resolve);
      this.send({ ...message, number });
    });
  }

  /** Send a camera's picture. */
  film(buffer) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(buffer);
    else if (this.over) this.model.send({ type: "message", view: this.view, text: null }, undefined, [buffer]);
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
    let socket;
    try {
      socket = new WebSocket(address);
    } catch {
      return resolve(null); // a page over https may not open every address
    }
    socket.binaryType = "arraybuffer";
    const timer = setTimeout(() => (socket.close(), resolve(null)), OPEN_MS);
    const done = (result) => (clearTimeout(timer), resolve(result));
    socket.onopen = () => socket.send(JSON.stringify({ token }));
    socket.onmessage = ({ data }) => done({ socket, first: JSON.parse(data) });
    socket.onerror = socket.onclose = () => done(null);
  });
}
