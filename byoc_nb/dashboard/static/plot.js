// A chart of the last minutes, drawn by the server while it is looked at.

const PLOT_MS = 3000;

class Plot {
  constructor(send) {
    Object.assign(this, { send, open: false, visible: false, timer: null });
    this.picture = h("img", { className: "byoc-chart", alt: "frame rates, latency and process time of the last minutes", hidden: true });
    this.text = h("p", { role: "status" }, "drawing …");
    this.element = h("div", {}, this.text, this.picture);
  }

  /** Whether its tab is open, and the dashboard on the screen. */
  look({ open = this.open, visible = this.visible }) {
    const before = this.open && this.visible;
    Object.assign(this, { open, visible });
    if (before === (open && visible)) return;
    clearTimeout(this.timer);
    if (!before) this.ask();
  }

  ask() {
    this.send({ type: "plot" });
    this.timer = setTimeout(() => this.ask(), 3 * PLOT_MS); // in case that no answer comes
  }

  take({ png, error }) {
    clearTimeout(this.timer);
    this.text.hidden = !error;
    tell(this.text, error);
    this.picture.hidden = !png;
    if (png) this.picture.src = `data:image/png;base64,${png}`;
    if (this.open && this.visible) this.timer = setTimeout(() => this.ask(), PLOT_MS);
  }

  close() {
    clearTimeout(this.timer);
  }
}
