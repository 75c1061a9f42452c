// What the package logs and what frames print.

const LOG_ENTRIES = 300;

class Log {
  constructor() {
    this.last = 0;
    this.list = h("ol", { className: "byoc-log", tabIndex: 0, "aria-label": "log" });
    const levels = { all: "everything", print: "what frames print", warning: "warnings and errors", error: "errors" };
    this.level = h("select", { onchange: () => (this.list.dataset.level = this.level.value) }, ...options(levels));
    this.element = h("div", {}, h("label", {}, "show ", this.level), this.list);
  }

  take({ entries }) {
    if (entries.length && entries[entries.length - 1].number < this.last) this.clear(); // another server's
    for (const entry of entries.filter(({ number }) => number > this.last)) {
      this.last = entry.number;
      this.list.prepend(h("li", { "data-level": entry.level }, h("time", {}, clock(entry.at)), h("span", {}, entry.level), h("pre", {}, entry.text)));
    }
    while (this.list.childElementCount > LOG_ENTRIES) this.list.lastElementChild.remove();
  }

  clear() {
    this.last = 0;
    this.list.replaceChildren();
  }
}
