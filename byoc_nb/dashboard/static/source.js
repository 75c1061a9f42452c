// What is streamed: a picker, and for files a place in it, a speed and whether it begins again.

const SOURCES = { "": "file, folder or URL", testsrc: "test picture", webcam: "webcam" };
const SPEEDS = ["0.25", "0.5", "1", "2", "4"];

class Source {
  constructor(ask, camera, id) {
    Object.assign(this, { ask, camera, state: undefined, seeking: false, generators: null });
    const described = { "aria-describedby": `${id}-source-error` };
    this.kind = h("select", { id: `${id}-source`, ...described, onchange: () => this.choose() });
    this.spec = h("input", { type: "text", "aria-label": "file, folder or URL", placeholder: "clip.mp4", spellcheck: false, ...described });
    this.spec.addEventListener("keydown", (event) => event.key === "Enter" && this.switch());
    this.apply = button("Switch", () => this.switch());
    this.wrong = h("div", { id: `${id}-source-error`, className: "byoc-wrong", "aria-live": "polite" });
    this.text = h("output", { className: "byoc-source-state", "aria-label": "source now", "aria-live": "off" });
    this.place = h("input", { type: "range", min: 0, step: 0.1, "aria-label": "position", oninput: () => this.seek(), onchange: () => this.sought() });
    this.time = h("output", { className: "byoc-time", "aria-label": "time", "aria-live": "off" });
    this.speed = h("select", { onchange: () => this.set("speed", Number(this.speed.value)) }, ...SPEEDS.map((speed) => h("option", { value: speed }, `${speed}×`)));
    this.loop = h("input", { type: "checkbox", onchange: () => this.set("loop", Number(this.loop.checked)) });
    this.file = h("div", { className: "byoc-inputs byoc-file" }, this.place, this.time, h("label", {}, "speed ", this.speed), h("label", { className: "byoc-check" }, this.loop, "loop"));
    const picker = h("div", { className: "byoc-inputs" }, h("label", { htmlFor: this.kind.id }, "Source"), this.kind, this.spec, this.apply, this.text);
    this.element = h("section", { className: "byoc-source", "aria-label": "source", hidden: true }, picker, this.wrong, this.file);
  }

  take({ source, generators, filmed }) {
    this.element.hidden = source === undefined;
    if (source === undefined) return;
    if (!same(generators, this.generators)) {
      const chosen = this.kind.value;
      this.kind.replaceChildren(...options(SOURCES), ...generators.map((name) => h("option", { value: name }, name)));
      this.kind.value = chosen;
      this.generators = generators;
    }
    if (source?.spec !== this.state?.spec || source?.kind !== this.state?.kind) this.chosen(source);
    this.state = source;
    const dark = source?.kind === "webcam" && !filmed ? " · no page films it; Switch uses this one's camera" : "";
    tell(this.text, source ? `now: ${source.spec}${dark}` : "nothing is streamed");
    this.file.hidden = !source?.seekable;
    if (!source?.seekable) return;
    this.place.max = source.duration ?? 0;
    this.place.disabled = !source.duration;
    if (!this.seeking) this.place.value = source.position ?? 0;
    tell(this.time, `${length(source.position ?? 0)} / ${length(source.duration ?? 0)}`);
    if (document.activeElement !== this.speed) this.speed.value = SPEEDS.find((speed) => Number(speed) === source.speed) ?? "";
    this.loop.checked = source.loop;
  }

  /** Another source is streamed: the picker shows it. */
  chosen(source) {
    const named = source && [...this.kind.options].some(({ value }) => value && value === source.spec);
    this.kind.value = named ? source.spec : "";
    if (source && !named) this.spec.value = source.spec;
    this.spec.hidden = this.kind.value !== "";
  }

  choose() {
    this.spec.hidden = this.kind.value !== "";
    if (!this.spec.hidden) this.spec.focus();
  }

  async switch() {
    const spec = this.kind.value || this.spec.value.trim();
    if (!spec) return tell(this.wrong, "which file, folder or URL?");
    tell(this.wrong, "");
    this.apply.disabled = true;
    try {
      const refused = spec === "webcam" ? await this.camera.open() : "";
      if (refused) return tell(this.wrong, refused);
      const answer = await this.ask({ type: "switch", spec });
      tell(this.wrong, answer.error);
      if (answer.error && spec === "webcam") this.camera.close();
      this.take(answer);
    } finally {
      this.apply.disabled = false;
    }
  }

  async set(name, value) {
    const answer = await this.ask({ type: "set source", name, value });
    tell(this.wrong, answer.error);
    this.take(answer);
  }

  seek() {
    this.seeking = true;
    tell(this.time, `${length(this.place.value)} / ${length(this.state?.duration ?? 0)}`);
  }

  async sought() {
    await this.set("position", Number(this.place.value));
    this.seeking = false;
  }

  /** A new connection: what was asked for on the old one is never answered. */
  reconnected() {
    this.seeking = this.apply.disabled = false;
    this.camera.close();
  }
}
