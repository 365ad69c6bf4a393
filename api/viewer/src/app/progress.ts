// How far a job is: one bar and a line of words; each stage behind it; warnings with what to do about them; how it ended.

import { sentence } from "./api";
import { bar, fill, h, icon, setBar } from "./dom";
import { duration, interval, percent } from "./format";
import type { Job, Report, Stage, Told } from "./types";
import { STATES, stageWords } from "./words";

const MOST_WARNINGS = 20;

export class JobProgress {
  readonly element = h("section", { class: "progress", "aria-label": "Progress" });
  private readonly line = bar("Progress of the job", 0);
  private readonly words = h("p", { class: "progress-words", role: "status" });
  private readonly stages = h("ol", { class: "stages" });
  private readonly behind = h("details", { class: "more" }, h("summary", { text: "Stages" }), this.stages);
  private readonly warned = h("div", { class: "warned" });
  private readonly end = h("div", {});
  private readonly warnings = new Map<string, string>();
  private isLive = true;
  private readonly fractions = new Map<string, number>();
  private readonly rows = new Map<string, { row: HTMLElement; words: HTMLElement; line: HTMLElement }>();

  constructor() {
    fill(this.element, this.end, h("div", { class: "progress-top" }, this.words), this.line, this.warned, this.behind);
  }

  /** A job that is tried again begins anew. */
  clear(): void {
    this.warnings.clear();
    this.fractions.clear();
    fill(this.end);
  }

  take({ kind, told }: Told): void {
    if (kind === "warning") {
      this.warnings.set(String(told["message"]), String(told["remedy"] ?? ""));
      this.showWarnings();
    }
    if (kind === "progress") {
      const name = String(told["stage"]);
      this.fractions.set(name, Number(told["fraction"]));
      const found = this.rows.get(name);
      if (found) {
        setBar(found.line, Number(told["fraction"]));
        found.words.textContent = String(told["message"] ?? "");
      }
    }
  }

  show(job: Job): void {
    const isLive = (this.isLive = job.state === "queued" || job.state === "running");
    setBar(this.line, job.progress);
    this.line.hidden = !isLive;
    this.element.classList.toggle("over", !isLive);
    this.words.textContent = wordsOf(job);
    for (const stage of job.stages) this.showStage(stage);
    if (job.error) {
      const where = job.error.stage ? ` (${stageWords(job.error.stage)})` : "";
      fill(this.end, h("div", { class: "verdict-card bad" }, h("h2", { class: "verdict" }, icon("warning"), `It failed${where}`), h("p", { text: sentence(job.error.message) }), job.error.remedy ? h("p", { class: "remedy", text: sentence(job.error.remedy) }) : null));
    }
  }

  /** What the report says of a job that is done. */
  conclude(report: Report): void {
    for (const { message, remedy } of report.warnings ?? []) this.warnings.set(message, remedy);
    this.showWarnings();
    const verdict = report.verdict;
    if (!verdict) return;
    const kind = { green: "good", amber: "fair", red: "bad" }[verdict.level];
    const facts = [
      report.images ? `${report.images.registered} of ${report.images.used} images placed` : "",
      report.points ? `${report.points.toLocaleString("en")} points` : "",
      report.faces ? `${report.faces.toLocaleString("en")} triangles` : "",
      report.scale?.metric ? "lengths in metres" : "lengths without a unit: not metric",
    ];
    fill(this.end, h("div", { class: `verdict-card ${kind}` }, h("h2", { class: "verdict" }, icon(kind === "good" ? "check" : "warning"), verdict.headline), h("p", { class: "facts", text: facts.filter(Boolean).join(" · ") })));
  }

  private showStage(stage: Stage): void {
    let found = this.rows.get(stage.name);
    if (!found) {
      const words = h("span", { class: "muted clip" });
      const line = bar(stageWords(stage.name), 0);
      const row = h("li", {}, h("span", { class: "mark" }), h("span", { class: "stage-name", text: stageWords(stage.name) }), line, words);
      this.rows.set(stage.name, (found = { row, words, line }));
      this.stages.append(row);
    }
    found.row.className = stage.state;
    const isRunning = stage.state === "running";
    found.line.hidden = !isRunning;
    setBar(found.line, Math.max(stage.fraction, isRunning && stage.shards <= 1 ? (this.fractions.get(stage.name) ?? 0) : 0));
    const took = stage.started_s && stage.ended_s ? duration(stage.ended_s - stage.started_s) : "";
    found.words.textContent = stage.state === "done" ? took : stage.state === "cached" ? "had been computed before" : isRunning ? stage.message || percent(stage.fraction) : stage.state === "waiting" ? "" : stage.state;
    const mark = found.row.firstElementChild;
    if (mark) fill(mark, (stage.state === "done" || stage.state === "cached") && icon("check"), stage.state === "failed" && icon("warning"));
  }

  private showWarnings(): void {
    const rows = [...this.warnings].slice(0, MOST_WARNINGS);
    fill(this.warned, rows.length > 0 && h("details", { class: "more", open: this.isLive && rows.length <= 3 }, h("summary", { text: rows.length === 1 ? "1 warning" : `${rows.length} warnings` }), h("ul", { class: "warnings" }, ...rows.map(([message, remedy]) => h("li", {}, icon("warning"), h("span", {}, sentence(message), remedy ? h("span", { class: "remedy", text: ` ${sentence(remedy)}` }) : null))))));
  }
}

function wordsOf(job: Job): string {
  if (job.state === "running") {
    const left = job.eta ? ` · ${interval(job.eta.low_s, job.eta.high_s)} left` : "";
    return `${percent(job.progress)} · ${stageWords(job.stage ?? "")}${left}`;
  }
  if (job.state === "queued") return `${STATES.queued}${job.eta ? `; then it takes ${interval(job.eta.low_s, job.eta.high_s)}` : ""}`;
  const took = job.started_s && job.ended_s ? ` in ${duration(job.ended_s - job.started_s)}` : "";
  const price = job.cost.price ? ` · cost ${job.cost.price.toFixed(2)}` : "";
  return `${STATES[job.state]}${took}${price}`;
}
