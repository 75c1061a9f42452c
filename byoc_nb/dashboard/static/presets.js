// Presets: the parameters under a name, kept beside the notebook; two of them are compared by a key.

const COMPARE_KEY = "x";

class Presets {
  constructor(ask, id) {
    Object.assign(this, { ask, presets: {}, values: null, side: "" });
    this.choice = h("select", { id: `${id}-preset` });
    this.name = h("input", { type: "text", id: `${id}-name`, maxLength: 60, placeholder: "a name", "aria-describedby": `${id}-preset-error` });
    this.name.addEventListener("keydown", (event) => event.key === "Enter" && this.save());
    this.sides = Object.fromEntries(["A", "B"].map((side) => [side, h("select", { "aria-label": `preset ${side}`, onchange: () => this.show() })]));
    this.inForce = h("output", { className: "byoc-preset", "aria-label": "preset in force" });
    this.wrong = h("div", { id: `${id}-preset-error`, className: "byoc-wrong", "aria-live": "polite" });
    const row = (label, ...inputs) => h("div", { className: "byoc-row" }, label, h("span", { className: "byoc-inputs" }, ...inputs));
    this.chosen = row(h("label", { htmlFor: this.choice.id }, "Preset"), this.choice, button("Load", () => this.load(this.choice.value)), button("Delete", () => this.do("delete", this.choice.value)));
    this.compare = row(h("span", {}, "Compare"), this.sides.A, this.sides.B, button(`Switch (${COMPARE_KEY.toUpperCase()})`, () => this.swap(), { title: `the key ${COMPARE_KEY} does it, too, anywhere in the dashboard` }));
    const saved = row(h("label", { htmlFor: this.name.id }, "Save as"), this.name, button("Save", () => this.save()));
    this.element = h("section", { className: "byoc-presets", "aria-label": "presets" }, h("h3", {}, "Presets"), this.chosen, this.compare, saved, this.wrong);
  }

  take({ presets, error }) {
    const names = Object.keys(presets);
    const { A, B } = this.sides;
    for (const select of [this.choice, A, B]) {
      const before = select.value;
      select.replaceChildren(...names.map((name) => h("option", {}, name)));
      if (before in presets) select.value = before;
    }
    if (A.value === B.value) B.value = names.findLast((name) => name !== A.value) ?? "";
    this.presets = presets;
    this.chosen.hidden = !names.length;
    this.compare.hidden = names.length < 2;
    if (error) tell(this.wrong, error);
    this.show();
  }

  /** The parameters as they are now. */
  now(values) {
    this.values = values;
    this.show();
  }

  /** Say which preset is in force, if one is. */
  show() {
    const { A, B } = this.sides;
    const holds = (name) => name in this.presets && this.values && Object.entries(this.presets[name]).every(([key, value]) => same(this.values[key], value));
    const two = Object.keys(this.presets).length > 1;
    this.side = two && holds(A.value) && this.side !== "B" ? "A" : two && holds(B.value) ? "B" : two && holds(A.value) ? "A" : "";
    const name = this.side ? this.sides[this.side].value : Object.keys(this.presets).find(holds);
    tell(this.inForce, name === undefined ? "" : this.side ? `${this.side}: ${name}` : name);
    for (const [side, select] of Object.entries(this.sides)) select.classList.toggle("byoc-on", side === this.side);
  }

  swap() {
    if (this.compare.hidden) return;
    this.side = this.side === "A" ? "B" : "A";
    this.load(this.sides[this.side].value);
  }

  save() {
    const name = this.name.value.trim();
    if (!name) return tell(this.wrong, "a preset needs a name");
    this.do("save", name).then((done) => done && (this.name.value = ""));
  }

  load(name) {
    return this.do("load", name);
  }

  async do(what, name) {
    const { error, errors } = await this.ask({ type: "preset", do: what, name });
    const left = Object.entries(errors).map(([field, why]) => `${field} (${why})`);
    tell(this.wrong, error || (left.length ? `left as it was: ${left.join("; ")}` : ""));
    return !error;
  }

  /** A key was pressed in the dashboard. */
  key(event) {
    if (event.key !== COMPARE_KEY || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("textarea, select, input:not([type=range]):not([type=checkbox]):not([type=color])")) return;
    event.preventDefault();
    this.swap();
  }
}
