// The stream's figures, in words and bars, and the newest error.

const STAGES = ["decode", "queue", "process", "encode", "publish"];
const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MB`;
const change = (bytes) => `${bytes < 0 ? "−" : "+"}${megabytes(Math.abs(bytes))}`;

class Stats {
  constructor() {
    this.verdict = h("p", { className: "byoc-verdict", role: "status" });
    this.table = h("dl", { className: "byoc-figures" });
    this.bars = h("div", { className: "byoc-bars" });
    this.element = h("section", { className: "byoc-stats", "aria-label": "statistics" }, this.verdict, this.table, this.bars);
    this.error = h("div", { className: "byoc-error", role: "status", hidden: true });
  }

  take(message) {
    const verdict = message.verdict ?? { text: "no stream yet", good: true };
    tell(this.verdict, `${verdict.good ? "✓" : "⚠"} ${verdict.text}`);
    this.verdict.classList.toggle("byoc-bad", !verdict.good);
    const rows = {};
    if (message.fps_in !== undefined) {
      const drops = Object.entries(message.drops).map(([cause, count]) => `${count} ${cause}`);
      Object.assign(rows, {
        "Frames per second": `${message.fps_in.toFixed(1)} in, ${message.fps_out.toFixed(1)} out`,
        Latency: `p50 ${ms(message.latency_ms_p50)}, p99 ${ms(message.latency_ms_p99)}`,
        Dropped: `${message.frames_dropped} of ${message.frames_in}${drops.length ? `: ${drops.join(", ")}` : ""}`,
      });
      this.showBars(message.stages_ms, message.budget_ms);
    }
    rows.Processor = [message.processor || "none", ...(message.reloads ? [`reloaded ${message.reloads}×`] : [])].join(", ");
    const { memory } = message;
    for (const [name, title] of Object.entries({ process: "Memory", gpu: "GPU memory" })) {
      if (memory[name] === undefined) continue;
      const reload = memory.reload ? [`${change(memory.reload[name])} since the reload`] : [];
      rows[title] = [megabytes(memory[name]), `at most ${megabytes(memory[`${name}_peak`])}`, ...reload].join(", ");
    }
    this.table.replaceChildren(...Object.entries(rows).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    this.showError(message.error);
  }

  showBars(stages, budget) {
    const full = Math.max(budget ?? 0, ...STAGES.map((stage) => stages[stage]?.p50 ?? 0)) || 1;
    this.bars.style.setProperty("--byoc-budget", budget ? `${(budget / full) * 100}%` : "100%");
    this.bars.replaceChildren(
      h("div", { className: "byoc-budget" }, budget ? `time per stage; the line is the frame's budget, ${ms(budget)}` : "time per stage"),
      ...STAGES.map((stage) => {
        const took = stages[stage]?.p50 ?? 0;
        const bar = h("span", { className: budget && took > budget ? "byoc-bar byoc-bad" : "byoc-bar" });
        bar.style.width = `${(took / full) * 100}%`;
        return h("div", { className: "byoc-stage" }, h("span", {}, stage), h("span", { className: "byoc-track" }, bar), h("span", {}, ms(stages[stage]?.p50)));
      }),
    );
  }

  showError(error) {
    this.error.hidden = !error;
    if (!error) return;
    const times = `${error.count}× · last at ${clock(error.at)}${error.total > error.count ? ` · ${error.total} errors in all` : ""}`;
    this.error.replaceChildren(h("strong", {}, error.line), h("span", {}, times));
  }
}
