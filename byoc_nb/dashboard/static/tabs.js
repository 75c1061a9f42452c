// Tabs, one of whose panels is shown; the arrow keys go from one to the next.

class Tabs {
  /** `panels`: name -> element; `shown(name)` hears of each change. */
  constructor(id, label, panels, shown) {
    Object.assign(this, { panels, shown, names: Object.keys(panels) });
    this.buttons = Object.fromEntries(
      this.names.map((name) => [name, button(name, () => this.show(name), { role: "tab", id: `${id}-tab-${name}`, "aria-controls": `${id}-panel-${name}` })]),
    );
    const list = h("div", { className: "byoc-tabs", role: "tablist", "aria-label": label, onkeydown: (event) => this.key(event) }, ...Object.values(this.buttons));
    const shells = this.names.map((name) => {
      panels[name] = h("div", { role: "tabpanel", id: `${id}-panel-${name}`, "aria-labelledby": `${id}-tab-${name}` }, panels[name]);
      return panels[name];
    });
    this.element = h("div", {}, list, ...shells);
    this.show(this.names[0]);
  }

  show(name) {
    this.now = name;
    for (const one of this.names) {
      this.panels[one].hidden = one !== name;
      this.buttons[one].setAttribute("aria-selected", one === name);
      this.buttons[one].tabIndex = one === name ? 0 : -1;
    }
    this.shown(name);
  }

  /** What stands on a tab, such as a count. */
  label(name, text) {
    tell(this.buttons[name], text);
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    this.show(this.names[(this.names.indexOf(this.now) + step + this.names.length) % this.names.length]);
    this.buttons[this.now].focus();
  }
}
