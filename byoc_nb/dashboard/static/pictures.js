// The pictures: a canvas with both, side by side or one wiped over the other, and the pixel under the pointer. What is
// on the canvas is small; the pixel's colours and snapshots come from the server, of the frames themselves.

const GAP = 8; // pixels between the two pictures
const PIXEL_MS = 200; // between two questions for the pixel

/** The canvas with both pictures, side by side or one wiped over the other. */
class Pictures {
  constructor(send) {
    Object.assign(this, { send, pair: null, sizes: null, paused: false, unseen: [], work: Promise.resolve(), pointer: null, asked: 0 });
    this.canvas = h("canvas", { className: "byoc-canvas", width: 1280, height: 360, tabIndex: 0, role: "img", "aria-label": "input and output pictures" });
    this.canvas.onpointermove = (event) => ((this.pointer = event), this.point());
    this.canvas.onpointerleave = () => ((this.pointer = null), tell(this.pixel, ""));
    this.pixel = h("output", { className: "byoc-pixel", "aria-label": "pixel under the cursor", "aria-live": "off" });
    this.pause = button("Pause", () => this.toggle());
    this.mode = h("select", { onchange: () => this.draw() }, ...options({ side: "side by side", wipe: "wipe" }));
    this.edge = h("input", { type: "range", min: 0, max: 100, value: 50, oninput: () => this.draw() });
    this.wipe = h("label", { className: "byoc-wipe", hidden: true }, "input ", this.edge, " output");
    this.captions = h("div", { className: "byoc-captions" });
    this.snapshot = button("Snapshot", () => this.send({ type: "snapshot", at: this.at ?? 0 }), { title: "both pictures at full size, as PNG" });
  }

  /** A message with two JPEGs (see pictures.py), or a snapshot. Drawn or not, pictures are acknowledged, unless paused. */
  take(buffer) {
    const { header, files } = unpacked(buffer);
    if (header.kind === "snapshot") return void download(files[0], `byoc-${header.at}s.png`);
    if (this.paused) return void this.unseen.push(buffer);
    this.work = this.work.then(() => this.show(buffer)).catch(console.error).then(() => this.send({ type: "drawn" }));
  }

  async show(buffer) {
    const { header, files } = unpacked(buffer);
    const pair = await Promise.all(files.map((file) => createImageBitmap(new Blob([file], { type: "image/jpeg" }))));
    this.pair?.forEach((picture) => picture.close());
    Object.assign(this, { pair, sizes: header.sizes, at: header.at });
    this.canvas.dataset.at = header.at;
    this.draw();
    this.point();
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

  /** Ask for the colours under the pointer, now and then. */
  point() {
    if (!this.pair || !this.pointer || performance.now() < this.asked + PIXEL_MS) return;
    const box = this.canvas.getBoundingClientRect();
    let x = ((this.pointer.clientX - box.left) / box.width) * this.canvas.width;
    const y = (this.pointer.clientY - box.top) / box.height;
    const [before, after] = this.pair;
    const side = this.mode.value === "side";
    this.first = side && x < before.width;
    if (side && !this.first) x -= before.width + GAP;
    x /= (this.first ? before : after).width;
    if (x < 0 || x >= 1 || y < 0 || y >= 1) return tell(this.pixel, "");
    this.asked = performance.now();
    this.send({ type: "pixel", at: this.at, x, y });
  }

  /** The answer: where that is in the picture under the pointer, and its colours in both. */
  tellPixel({ places }) {
    if (!this.pointer || !places.length) return;
    const [input, output] = places.map(({ color }) => color.join(" "));
    tell(this.pixel, `${places[this.first ? 0 : 1].at.join(", ")} · input ${input} · output ${output}`);
  }

  toggle() {
    this.paused = !this.paused;
    this.pause.textContent = this.paused ? "Go on" : "Pause";
    if (!this.paused) this.forget(true);
  }

  /** What came while it was paused is over; `tell` the server that there is room again. */
  forget(tell) {
    const unseen = this.unseen.splice(0);
    if (tell) unseen.forEach((buffer) => this.take(buffer));
  }
}

/** The header of a binary message, and its files. */
function unpacked(buffer) {
  const size = new DataView(buffer).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  let at = 4 + size;
  return { header, files: header.lengths.map((long) => new Uint8Array(buffer, (at += long) - long, long)) };
}

function download(file, name) {
  const link = h("a", { href: URL.createObjectURL(new Blob([file], { type: "image/png" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), RETRY_MS);
}
