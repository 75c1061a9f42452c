// The parameters of the processor: a control for each, and changes to them both ways. Joined to dashboard.js, whose
// `h` makes the elements (see widget.py).

const CHANGE_MS = 50; // between two changes: 20 a second while a slider is dragged

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** The input elements of one field: `element`, `read()` (raises where that is no value), `write(value)`. */
function inputs(field, id, changed, settled) {
  const given = { id, "aria-describedby": `${id}-error`, title: field.description };
  const number = (text) => {
    if (text === "") {
      if (field.nullable) return null;
      throw new Error("a number is missing");
    }
    return Number(text);
  };
  const limits = { min: field.min ?? "", max: field.max ?? "", step: field.integer ? 1 : "any" };
  if (field.kind === "number" && field.min !== undefined && field.max !== undefined && !field.nullable) {
    const exact = h("input", { type: "number", ...given, ...limits, id: `${id}-number`, "aria-label": `${field.title}, exact`, oninput: () => (follow(), changed()) });
    const follow = () => exact.value !== "" && exact.checkValidity() && (slider.value = exact.value); // it would stop at its end
    const slider = h("input", { type: "range", ...given, min: field.min, max: field.max, step: field.step, oninput: () => ((exact.value = slider.value), changed()) });
    const write = (value) => ((slider.value = value), (exact.value = value));
    return { element: h("span", { className: "byoc-slider" }, slider, exact), read: () => number(exact.value), write };
  }
  if (field.kind === "number") {
    const element = h("input", { type: "number", ...given, ...limits, placeholder: field.nullable ? "none" : "", oninput: changed });
    return { element, read: () => number(element.value), write: (value) => (element.value = value ?? "") };
  }
  if (field.kind === "bool") {
    const element = h("input", { type: "checkbox", role: "switch", className: "byoc-switch", ...given, onchange: changed });
    return { element, read: () => element.checked, write: (value) => (element.checked = value) };
  }
  if (field.kind === "choice") {
    const options = field.choices.map((choice) => h("option", {}, choice === null ? "none" : String(choice)));
    const element = h("select", { ...given, onchange: changed }, ...options);
    const write = (value) => (element.selectedIndex = field.choices.findIndex((choice) => same(choice, value)));
    return { element, read: () => field.choices[element.selectedIndex], write };
  }
  if (field.kind === "color") {
    const picker = h("input", { type: "color", ...given, oninput: () => ((text.value = picker.value), changed()) });
    const text = h("input", { type: "text", size: 9, "aria-label": `${field.title}, as text`, onchange: () => ((picker.value = text.value), changed()) });
    const write = (value) => ((text.value = value), (picker.value = /^#[0-9a-f]{6}$/i.test(value) ? value : "#000000"));
    return { element: h("span", { className: "byoc-color" }, picker, text), read: () => text.value, write };
  }
  if (field.kind === "numbers") {
    const element = h("span", { className: "byoc-numbers", role: "group", "aria-label": field.title });
    const boxes = () => [...element.querySelectorAll("input")];
    const write = (values) => {
      const box = (value, at) => h("input", { type: "number", step: limits.step, value, "aria-label": `${field.title} ${at + 1}`, oninput: changed });
      if (boxes().length === values.length) return boxes().forEach((one, at) => (one.value = values[at]));
      const button = (text, label, next) => h("button", { type: "button", "aria-label": `${field.title}: ${label}`, onclick: () => (write(next()), changed()) }, text);
      const read = () => boxes().map((one) => Number(one.value));
      const more = field.fixed ? [] : [button("+", "one more", () => [...read(), 0]), button("−", "one less", () => read().slice(0, -1))];
      element.replaceChildren(...values.map(box), ...more);
    };
    return { element, read: () => boxes().map((one) => number(one.value)), write };
  }
  if (field.kind === "text") {
    const element = h("input", { type: "text", ...given, oninput: settled, onchange: changed });
    return { element, read: () => (element.value === "" && field.nullable ? null : element.value), write: (value) => (element.value = value ?? "") };
  }
  const element = h("textarea", { ...given, rows: 2, spellcheck: false, oninput: settled, onchange: changed });
  return { element, read: () => JSON.parse(element.value), write: (value) => (element.value = JSON.stringify(value)) };
}

/** All controls of a processor. One change is under way at a time; what is set meanwhile goes with the next one. */
class Params {
  constructor(send, id) {
    Object.assign(this, { send, id, fields: undefined, controls: new Map(), pending: {}, flying: null, waiting: new Map(), number: 0, last: 0 });
    this.element = h("section", { className: "byoc-params", "aria-label": "parameters" });
  }

  take(message) {
    if (message.type === "changed") return this.changed(message);
    if (message.type === "params" && !same(message.fields, this.fields)) this.build(message.fields);
    if (message.type === "params") this.reconnected();
    for (const [name, control] of this.controls) {
      if (!(name in message.values) || control.dirty || this.busy(name)) continue;
      if (!control.refused || !same(control.value, message.values[name])) this.write(control, message.values[name]);
    }
    if (this.raw && !this.raw.dirty) this.raw.write(message.values);
  }

  busy(name) {
    return name in this.pending || Boolean(this.flying && name in this.flying);
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
    this.waiting.clear();
    if (this.apply) this.apply.disabled = false;
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
    this.apply = h("button", { type: "button", onclick: () => this.load() }, "Apply");
    const rows = load.map((field) => this.row(field, () => (this.controls.get(field.name).dirty = true)));
    this.element.append(h("fieldset", {}, h("legend", {}, "Loads the processor again"), ...rows, this.apply));
  }

  row(field, changed) {
    const id = `${this.id}-${field.name}`;
    const control = { field, error: h("div", { id: `${id}-error`, className: "byoc-wrong", "aria-live": "polite" }) };
    Object.assign(control, inputs(field, id, changed, () => (control.dirty = true)));
    control.reset = h("button", { type: "button", className: "byoc-reset", title: `back to ${JSON.stringify(field.default)}`, "aria-label": `reset ${field.title}`, onclick: () => (control.write(field.default), changed()) }, "↺");
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
    this.element.append(text, h("button", { type: "button", onclick: send }, "Apply"), error);
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
    this.flying = this.pending;
    this.pending = {};
    this.ask(this.flying, (answer) => {
      const names = Object.keys(this.flying);
      this.flying = null;
      this.settle(names, answer);
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
    Object.assign(this.apply, { disabled: true, textContent: "Loading …" });
    this.ask(changes, (answer) => {
      Object.assign(this.apply, { disabled: false, textContent: "Apply" });
      Object.keys(changes).forEach((name) => this.controls.has(name) && (this.controls.get(name).dirty = false));
      this.settle(Object.keys(changes), answer);
    });
  }

  ask(changes, then) {
    this.waiting.set(++this.number, then);
    this.send({ type: "change", number: this.number, changes });
  }

  changed(message) {
    this.waiting.get(message.number)?.(message);
    this.waiting.delete(message.number);
  }

  /** What became of these fields: a refused value stays where it was typed, with the reason under it. */
  settle(names, { errors, values }) {
    const wrong = (name) => Object.entries(errors).filter(([field]) => field === name || field.startsWith(`${name}.`)).map(([, text]) => text).join("; ");
    const others = Object.keys(errors).filter((field) => !names.some((name) => field === name || field.startsWith(`${name}.`)));
    for (const name of names) {
      const control = this.controls.get(name);
      if (!control || name in this.pending) continue;
      control.error.textContent = wrong(name) || others.map((field) => `${field}: ${errors[field]}`).join("; ");
      control.refused = control.error.textContent !== "";
      if (!control.refused && name in values) this.write(control, values[name]);
    }
  }
}
