// All jobs, and captures that wait for one.

import { type Api, sleep, wordsOf } from "./api";
import { bar, button, fill, h, icon, iconButton } from "./dom";
import { dropZone } from "./drop";
import { type Chosen, nameOf } from "./files";
import { bytes, count, interval, percent, when } from "./format";
import type { Context, View } from "./start";
import { toast, undoable } from "./toast";
import type { Capture, Job, Page } from "./types";
import { startUpload, uploads } from "./upload";
import { PRESETS, STATES, stageWords } from "./words";

const LOOK_MS = 4000;
const TYPED_MS = 250;
/** Nothing can be dropped with a finger. */
const isTouch = matchMedia("(pointer: coarse)").matches;

export function jobsView({ api }: Context): View {
  const stopping = new AbortController();
  const list = h("ul", { class: "cards", "aria-label": "Jobs" });
  const waiting = h("section", { class: "waiting" });
  const note = h("div", { class: "note", role: "status" });
  const more = button("Show older jobs", () => void view.older());
  const search = h("input", { type: "search", placeholder: "Search by name", "aria-label": "Search jobs by name" });
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => void view.look(true), TYPED_MS) as unknown as number;
  });
  const view = new Jobs(api, list, waiting, note, more, () => search.value.trim(), stopping.signal);
  const element = h(
    "div",
    { class: "page" },
    h("h1", { class: "sr-only", text: "Jobs", tabindex: -1 }),
    dropZone(isTouch ? "Make a 3D model" : "Drop a capture here to make a 3D model of it", (files) => void begin(api, files, note)),
    waiting,
    h("div", { class: "list-head" }, h("h2", { text: "Models" }), h("div", { class: "search" }, icon("search"), search)),
    note,
    list,
    h("div", { class: "row centre-row" }, more),
  );
  void view.run();
  return { element, title: "Jobs", end: () => stopping.abort() };
}

/** A new capture of these files; its page shows the upload. */
async function begin(api: Api, files: Chosen[], note: HTMLElement): Promise<void> {
  try {
    const capture = await api.post<Capture>("v1/captures", { name: nameOf(files) });
    startUpload(api, capture.id, files);
    location.hash = `#/captures/${capture.id}`;
  } catch (error) {
    fill(note, h("p", { class: "error", text: wordsOf(error) }));
  }
}

class Jobs {
  private jobs: Job[] = [];
  private next: string | null = null;
  private readonly gone = new Set<string>();
  private readonly cards = new Map<string, Card>();
  private asked = 0;

  constructor(
    private readonly api: Api,
    private readonly list: HTMLElement,
    private readonly waiting: HTMLElement,
    private readonly note: HTMLElement,
    private readonly more: HTMLElement,
    private readonly search: () => string,
    private readonly signal: AbortSignal,
  ) {
    more.hidden = true;
  }

  async run(): Promise<void> {
    fill(this.note, h("p", { class: "muted", text: "Loading…" }));
    while (!this.signal.aborted) {
      await this.look(false);
      await sleep(LOOK_MS, this.signal).catch(() => {});
    }
    for (const card of this.cards.values()) card.end();
  }

  async look(isNew: boolean): Promise<void> {
    const mine = (this.asked += 1);
    try {
      const page = await this.api.get<Page<Job>>(this.path(null), this.signal);
      const captures = await this.api.get<Page<Capture>>("v1/captures?limit=50", this.signal);
      if (mine !== this.asked || this.signal.aborted) return;
      const known = new Set(page.items.map((job) => job.id));
      const older = isNew ? [] : this.jobs.filter((job) => !known.has(job.id) && page.next !== null);
      if (!older.length) this.next = page.next;
      this.jobs = [...page.items, ...older];
      this.show(captures.items);
    } catch (error) {
      if (!this.signal.aborted && mine === this.asked && !this.jobs.length) fill(this.note, h("p", { class: "error", text: wordsOf(error) }));
    }
  }

  async older(): Promise<void> {
    if (!this.next) return;
    const page = await this.api.get<Page<Job>>(this.path(this.next), this.signal);
    this.next = page.next;
    const known = new Set(this.jobs.map((job) => job.id));
    this.jobs.push(...page.items.filter((job) => !known.has(job.id)));
    this.draw();
  }

  private path(cursor: string | null): string {
    const asked = new URLSearchParams({ limit: "50" });
    if (this.search()) asked.set("search", this.search());
    if (cursor) asked.set("cursor", cursor);
    return `v1/jobs?${asked}`;
  }

  private show(captures: Capture[]): void {
    this.draw();
    const used = new Set(this.jobs.map((job) => job.capture_id));
    const unused = this.search() ? [] : captures.filter((capture) => !used.has(capture.id) && !this.gone.has(capture.id));
    fill(this.waiting, unused.length > 0 && h("h2", { text: "Not started yet" }), unused.length > 0 && h("ul", { class: "lines" }, ...unused.map((capture) => this.line(capture))));
  }

  private draw(): void {
    const shown = this.jobs.filter((job) => !this.gone.has(job.id));
    const words = this.search() ? `No model is called “${this.search()}”.` : "No models yet. Drop a video or some photos above.";
    fill(this.note, shown.length === 0 && h("p", { class: "empty", text: words }));
    const rows = shown.map((job) => {
      let card = this.cards.get(job.id);
      if (!card) this.cards.set(job.id, (card = new Card(this.api, job.id, () => this.remove(job))));
      card.show(job);
      return card.element;
    });
    if (rows.length !== this.list.children.length || rows.some((row, at) => this.list.children[at] !== row)) this.list.replaceChildren(...rows);
    this.more.hidden = this.next === null;
  }

  private line(capture: Capture): HTMLElement {
    const upload = uploads.get(capture.id);
    const words = upload?.isLive
      ? `Uploading, ${percent(upload.progress.total ? upload.progress.sent / upload.progress.total : 0)}`
      : capture.state === "open"
        ? "Upload not finished: choose the same files again to go on"
        : capture.state === "failed"
          ? "Can't be used"
          : capture.inspecting
            ? "Being looked at"
            : "Ready to start";
    return h(
      "li",
      { class: "line" },
      h("a", { class: "line-name", href: `#/captures/${capture.id}`, text: capture.name }),
      h("span", { class: "muted", text: `${words} · ${count(capture.files, "file")}, ${bytes(capture.size)} · ${when(capture.created_s)}` }),
      iconButton(`Delete ${capture.name}`, "trash", () => this.removeCapture(capture)),
    );
  }

  private remove(job: Job): void {
    this.gone.add(job.id);
    this.draw();
    deleteLater(this.api, `v1/jobs/${job.id}`, `“${job.name}” is deleted.`, () => {
      this.gone.delete(job.id);
      this.draw();
    });
  }

  private removeCapture(capture: Capture): void {
    this.gone.add(capture.id);
    uploads.get(capture.id)?.stop();
    void this.look(false);
    deleteLater(this.api, `v1/captures/${capture.id}`, `“${capture.name}” is deleted.`, () => {
      this.gone.delete(capture.id);
      void this.look(false);
    });
  }
}

/** Deletes once nobody wants it back; also if the page is closed meanwhile. Where that fails it is there again. */
export function deleteLater(api: Api, path: string, text: string, undone: () => void): void {
  const failed = (error: unknown): void => {
    toast(`It could not be deleted. ${wordsOf(error)}`, "error");
    undone();
  };
  undoable(text, () => void api.remove(path).catch(failed), undone);
}

class Card {
  readonly element = h("li", { class: "card job" });
  private readonly picture = h("div", { class: "thumb" }, icon("cube"));
  private readonly body = h("div", { class: "job-body" });
  private before = "";
  private thumbnail = "";
  private url = "";

  constructor(
    private readonly api: Api,
    private readonly id: string,
    remove: () => void,
  ) {
    const bin = iconButton("Delete", "trash", remove);
    bin.classList.add("corner");
    fill(this.element, h("a", { class: "job-link", href: `#/jobs/${id}` }, this.picture, this.body), bin);
  }

  show(job: Job): void {
    this.element.lastElementChild?.setAttribute("aria-label", `Delete ${job.name}`);
    const isLive = job.state === "queued" || job.state === "running";
    const left = job.eta ? `, ${interval(job.eta.low_s, job.eta.high_s)} left` : "";
    const words = job.state === "running" ? `${stageWords(job.stage ?? "")}${left}` : `${PRESETS[job.preset]?.name ?? job.preset} · ${when(job.ended_s ?? job.created_s)}`;
    const key = [job.name, job.state, words, isLive ? Math.round(job.progress * 200) : ""].join("|");
    if (key !== this.before) {
      this.before = key;
      fill(
        this.body,
        h("h3", { text: job.name }),
        h("span", { class: `state ${job.state}`, text: job.state === "running" ? `Running, ${percent(job.progress)}` : STATES[job.state] }),
        h("span", { class: "muted clip", text: words }),
        isLive && bar(`Progress of ${job.name}`, job.progress),
      );
    }
    if (job.thumbnail && job.thumbnail !== this.thumbnail) {
      this.thumbnail = job.thumbnail;
      void this.load(job.thumbnail);
    }
  }

  end(): void {
    if (this.url) URL.revokeObjectURL(this.url);
  }

  private async load(name: string): Promise<void> {
    try {
      const blob = await this.api.blob(`v1/jobs/${this.id}/artifacts/${encodeURIComponent(name)}?stream=1`);
      this.end();
      this.url = URL.createObjectURL(blob);
      fill(this.picture, h("img", { src: this.url, alt: "" }));
    } catch {
      this.thumbnail = ""; // tried again at the next look
    }
  }
}
