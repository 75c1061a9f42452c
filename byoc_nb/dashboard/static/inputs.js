// A control for one field of the parameters (see fields.py).

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
    const choices = field.choices.map((choice) => h("option", {}, choice === null ? "none" : String(choice)));
    const element = h("select", { ...given, onchange: changed }, ...choices);
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
    const write = (given) => {
      const values = given ?? [];
      const box = (value, at) => h("input", { type: "number", step: limits.step, value, "aria-label": `${field.title} ${at + 1}`, oninput: changed });
      if (boxes().length === values.length) return boxes().forEach((one, at) => (one.value = values[at]));
      const step = (text, label, next) => button(text, () => (write(next()), changed()), { "aria-label": `${field.title}: ${label}` });
      const read = () => boxes().map((one) => Number(one.value));
      const more = field.fixed ? [] : [step("+", "one more", () => [...read(), 0]), step("−", "one less", () => read().slice(0, -1))];
      element.replaceChildren(...values.map(box), ...more);
    };
    return { element, read: () => boxes().map((one) => number(one.value)), write };
  }
  if (field.kind === "text") {
    const kind = field.secret ? { type: "password", placeholder: "another secret" } : { type: "text" }; // the server tells none
    const element = h("input", { ...kind, ...given, oninput: settled, onchange: changed });
    const write = (value) => (element.value = field.secret ? "" : value ?? "");
    return { element, read: () => (element.value === "" && field.nullable ? null : element.value), write };
  }
  const element = h("textarea", { ...given, rows: 2, spellcheck: false, oninput: settled, onchange: changed });
  return { element, read: () => JSON.parse(element.value), write: (value) => (element.value = JSON.stringify(value)) };
}
