// The page's side of the dashboard: plain JavaScript, no build. All state comes from the server. These files are joined
// to one module in the order that widget.py gives; this one makes elements and texts.

let views = 0; // dashboards that this page has made

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

const button = (text, onclick, properties = {}) => h("button", { type: "button", onclick, ...properties }, text);
const options = (texts) => Object.entries(texts).map(([value, text]) => h("option", { value }, text));

/** Set a text, if it is another one: what is read out is read out once. */
function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const ms = (value) => (value === null || value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();
const length = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
