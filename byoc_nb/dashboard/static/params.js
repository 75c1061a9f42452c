// The parameters of the processor: a control for each, and changes to them both ways.

const CHANGE_MS = 50; // between two changes: 20 a second while a slider is dragged

/** All controls of a processor. One change is under way at a time; what is set meanwhile goes with the next one. */
class Params {
  constructor(ask, id) {
    Object.assign(this, { request: ask, id, fields: undefined, controls: new Map(), pending: {}, flying: null, last: 0 });
    this.element = h("section", { className: "byoc-params", "aria-label": "parameters" });
  }

  take(message) {
    if (message.type === "params" && !same(message.fields, this.fields)) this.build(message.fields);
    if (message.type === "params") this.reconnected();
    for (const [name, control] of this.controls) {
      if (!Object.hasOwn(message.values, name) || control.dirty || this.busy(name)) continue;
      if (!control.refused || !same(control.value, message.values[name])) this.write(control, message.values[name]);
    }
    if (this.raw && !this.raw.dirty) this.raw.write(message.values);
  }

  busy(name) {
    return Object.hasOwn(this.pending, name) || Boolean(this.flying && Object.hasOwn(this.flying, name));
  }

  write(control, value) {
    if (!same(control.value, value)) control.error.textContent = "";
    control.value = value;
    control.refused = false;
    control.write(value);
    control.reset.disabled = same(value, control.field.default);
  }

  reconnected() {
    this.flying = null;
    if (this.apply) Object.assign(this.apply, { disabled: false, textContent: "Apply" });
    this.flush();
  }

  build(fields) {
    Object.assign(this, { fields, controls: new Map(), pending: {}, raw: null, apply: null });
    this.element.replaceChildren(h("h3", {}, "Parameters"));
    if (!fields) return this.buildRaw();
    if (!fields.length) this.element.append(h("p", {}, "The processor has none."));
    for (const field of fields.filter((one) => !one.load)) this.element.append(this.row(field, () => this.set(field.name)));
    const load = fields.filter((one) => one.load);
    if (!load.length) return;
    this.apply = button("Apply", () => this.load());
    const rows = load.map((field) => this.row(field, () => (this.controls.get(field.name).dirty = true)));
    this.element.append(h("fieldset", {}, h("legend", {}, "Loads the processor again"), ...rows, this.apply));
  }

  row(field, changed) {
    const id = `${this.id}-${field.name}`;
    const control = { field, error: h("div", { id: `${id}-error`, className: "byoc-wrong", "aria-live": "polite" }) };
    Object.assign(control, inputs(field, id, changed, () => (control.dirty = true)));
    control.reset = button("↺", () => (control.write(field.default), changed()), { className: "byoc-reset", title: `back to ${JSON.stringify(field.default)}`, "aria-label": `reset ${field.title}`, hidden: field.secret });
    this.controls.set(field.name, control);
    const label = h("label", { htmlFor: id, title: field.description }, field.title);
    return h("div", { className: "byoc-row" }, label, control.element, control.reset, control.error);
  }

  /** A processor without declared parameters: its whole dict as text. */
  buildRaw() {
    const error = h("div", { className: "byoc-wrong", "aria-live": "polite" });
    const text = h("textarea", { rows: 4, spellcheck: false, "aria-label": "parameters as JSON", oninput: () => (this.raw.dirty = true) });
    const send = () => {
      try {
        const changes = JSON.parse(text.value);
        if (changes === null || typeof changes !== "object" || Array.isArray(changes)) throw new Error("this must be a JSON object, such as {\"strength\": 0.8}");
        error.textContent = "";
        this.raw.dirty = false;
        this.ask(changes, (answer) => (error.textContent = Object.values(answer.errors).join("; ")));
      } catch (wrong) {
        error.textContent = wrong.message;
      }
    };
    this.raw = { dirty: false, write: (values) => (text.value = JSON.stringify(values, null, 2)) };
    this.element.append(text, button("Apply", send), error);
  }

  /** The value of a control, or undefined with the reason under it. */
  value(control) {
    try {
      return control.read();
    } catch (wrong) {
      control.error.textContent = wrong.message;
      return undefined;
    }
  }

  set(name) {
    const control = this.controls.get(name);
    const value = this.value(control);
    if (value === undefined) return;
    control.dirty = false;
    this.pending[name] = value;
    this.flush();
  }

  flush() {
    if (this.flying || this.timer || !Object.keys(this.pending).length) return;
    const wait = this.last + CHANGE_MS - performance.now();
    if (wait > 0) {
      this.timer = setTimeout(() => ((this.timer = null), this.flush()), wait);
      return;
    }
    this.last = performance.now();
    const flying = (this.flying = this.pending);
    this.pending = {};
    this.ask(flying, (answer) => {
      if (this.flying !== flying) return; // another processor's
      this.flying = null;
      this.settle(Object.keys(flying), answer);
      this.flush();
    });
  }

  load() {
    const changes = {};
    for (const [name, control] of this.controls) {
      if (!control.field.load || !control.dirty) continue;
      const value = this.value(control);
      if (value === undefined) return;
      changes[name] = value;
    }
    if (!Object.keys(changes).length) return;
    const { apply } = this;
    Object.assign(apply, { disabled: true, textContent: "Loading …" });
    this.ask(changes, (answer) => {
      if (this.apply !== apply) return; // another processor's
      Object.assign(apply, { disabled: false, textContent: "Apply" });
      Object.keys(changes).forEach((name) => this.controls.has(name) && (this.controls.get(name).dirty = false));
      this.settle(Object.keys(changes), answer);
    });
  }

  ask(changes, then) {
    this.request({ type: "change", changes }).then(then);
  }

  /** What became of these fields: a refused value stays where it was typed, with the reason under it. */
  settle(names, { errors, values }) {
    const wrong = (name) => Object.entries(errors).filter(([field]) => field === name || field.startsWith(`${name}.`)).map(([, text]) => text).join("; ");
    const others = Object.keys(errors).filter((field) => !names.some((name) => field === name || field.startsWith(`${name}.`)));
    for (const name of names) {
      const control = this.controls.get(name);
      if (!control || Object.hasOwn(this.pending, name)) continue;
      control.error.textContent = wrong(name) || others.map((field) => `${field}: ${errors[field]}`).join("; ");
      control.refused = control.error.textContent !== "";
      if (!control.refused && Object.hasOwn(values, name)) this.write(control, values[name]);
    }
  }
}
