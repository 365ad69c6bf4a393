// One capture before it is a job: its upload, what was recognised in it, and the choice of options.

import { type Api, Problem, sleep, wordsOf } from "./api";
import { bar, button, fill, h, icon, iconButton, setBar } from "./dom";
import { dropZone } from "./drop";
import type { Chosen } from "./files";
import { type OptionsForm, optionsForm } from "./form";
import { bytes, count, duration } from "./format";
import { preflightCard } from "./found";
import { deleteLater } from "./jobs";
import { renamed } from "./rename";
import type { Context, View } from "./start";
import type { Capture, Inspection, Job, Options, OptionsAnswer, UploadFile } from "./types";
import { type Upload, startUpload, uploads } from "./upload";
import { PRESETS } from "./words";

const LOOK_MS = 1000;

export function captureView(context: Context, id: string): View {
  const stopping = new AbortController();
  const element = h("div", { class: "page" }, h("p", { class: "muted", text: "Loading…" }));
  const shown = new Shown(context, id, element, stopping.signal);
  void shown.run();
  return { element, title: "New model", end: () => stopping.abort() };
}

class Shown {
  private readonly api: Api;
  private readonly head = h("div", { class: "page-head" });
  private readonly body = h("div", { class: "stack" });
  private phase = "";
  private options: OptionsAnswer | null = null;

  constructor(
    private readonly context: Context,
    private readonly id: string,
    private readonly element: HTMLElement,
    private readonly signal: AbortSignal,
  ) {
    this.api = context.api;
  }

  async run(): Promise<void> {
    while (!this.signal.aborted) {
      try {
        const capture = await this.api.get<Capture>(`v1/captures/${this.id}`, this.signal);
        await this.show(capture);
        if (capture.state !== "open" && !capture.inspecting) return;
      } catch (error) {
        if (this.signal.aborted) return;
        if (error instanceof Problem && error.status === 404) return fill(this.element, gone("This capture does not exist any more: it was deleted."));
        if (!this.phase) fill(this.element, h("p", { class: "error", text: wordsOf(error) }));
      }
      await sleep(LOOK_MS, this.signal).catch(() => {});
    }
  }

  private async show(capture: Capture): Promise<void> {
    const upload = uploads.get(this.id);
    const phase = upload ? "upload" : capture.state === "open" ? "resume" : capture.state === "failed" ? "failed" : capture.inspecting ? "looking" : "ready";
    if (phase === this.phase) return;
    this.phase = phase;
    this.context.rename(capture.name);
    fill(this.head, h("a", { class: "button plain square", href: "#/", "aria-label": "All jobs" }, icon("back")), renamed(this.api, capture.id, capture.name), iconButton("Delete this capture", "trash", () => this.remove(capture)));
    if (!this.element.contains(this.head)) fill(this.element, this.head, this.body);
    if (upload) fill(this.body, steps(0), uploadCard(upload, () => this.cancel(upload)));
    else if (phase === "resume") fill(this.body, steps(0), ...(await this.resumeParts(capture)));
    else if (phase === "failed") fill(this.body, failure(capture));
    else if (phase === "looking") fill(this.body, steps(1), h("section", { class: "card", "aria-busy": "true" }, h("h2", { text: "Looking at your images" }), h("p", { class: "muted", text: "Whether they connect, what they show and how long it will take. A minute at most." }), h("div", { class: "bar moving" }, h("span"))));
    else await this.ready(capture);
  }

  private async ready(capture: Capture): Promise<void> {
    this.options ??= await this.api.get<OptionsAnswer>("v1/options", this.signal);
    const isHopeless = capture.inspection?.preflight?.verdict === "no";
    const choice = startForm(this.options, capture.inspection, isHopeless ? "Start anyway" : "Start", (preset, config) => this.start(preset, config));
    fill(this.body, steps(2), preflightCard(capture), choice);
  }

  private async start(preset: string, config: Record<string, unknown>): Promise<void> {
    const job = await this.api.post<Job>("v1/jobs", { capture_id: this.id, preset, config });
    location.hash = `#/jobs/${job.id}`;
  }

  /** The upload broke off, here or on another machine: the files must be chosen again, since a page may not keep them. */
  private async resumeParts(capture: Capture): Promise<HTMLElement[]> {
    const files = capture.files ? (await this.api.get<{ items: UploadFile[] }>(`v1/captures/${this.id}/files?limit=500`, this.signal)).items : [];
    const missing = files.filter((file) => file.state === "uploading").sort((a, b) => (a.name < b.name ? -1 : 1));
    const words = missing.length ? "Choose the same files again: only what is missing is sent" : "Add files";
    const zone = dropZone(words, (chosen) => this.begin(matched(chosen, files)));
    const list = missing.slice(0, 5).map((file) => h("li", { text: file.name }));
    const rest = missing.length > 5 ? h("li", { class: "muted", text: `and ${missing.length - 5} more` }) : null;
    const about = missing.length > 0 && h("section", { class: "card" }, h("h2", { text: "The upload was interrupted" }), h("p", { text: `${count(files.length - missing.length, "file")} of ${files.length} arrived whole. Not whole yet:` }), h("ul", {}, ...list, rest));
    const finish = files.length > 0 && !missing.length && button("Go on with these files", () => void this.complete(), { kind: "primary" });
    return [about, zone, finish].filter((part): part is HTMLElement => part !== false);
  }

  private async complete(): Promise<void> {
    await this.api.post(`v1/captures/${this.id}/complete`);
  }

  private begin(files: Chosen[]): void {
    startUpload(this.api, this.id, files);
    this.phase = "";
  }

  private cancel(upload: Upload): void {
    upload.stop();
    uploads.delete(this.id);
    this.phase = "";
  }

  private remove(capture: Capture): void {
    uploads.get(this.id)?.stop();
    uploads.delete(this.id);
    location.hash = "#/";
    deleteLater(this.api, `v1/captures/${this.id}`, `“${capture.name}” is deleted.`, () => (location.hash = `#/captures/${this.id}`));
  }
}

/** Chosen files under the names that they were declared with, if they were chosen without their folder this time. */
export function matched(chosen: Chosen[], files: UploadFile[]): Chosen[] {
  const names = new Set(files.map((file) => file.name));
  return chosen.map(({ name, file }) => {
    if (names.has(name.normalize("NFC"))) return { name, file };
    const alike = files.filter((row) => row.size === file.size && row.name.split("/").pop() === name.split("/").pop()?.normalize("NFC"));
    return { name: alike.length === 1 && alike[0] ? alike[0].name : name, file };
  });
}

function steps(now: number): HTMLElement {
  const names = ["Upload", "Check", "Choose and start"];
  return h("ol", { class: "steps", "aria-label": "Steps" }, ...names.map((name, at) => h("li", { class: at < now ? "past" : at === now ? "now" : "", "aria-current": at === now && "step", text: name })));
}

function uploadCard(upload: Upload, cancel: () => void): HTMLElement {
  const line = bar("Upload", 0);
  const title = h("h2", { text: "Uploading" });
  const facts = h("p", { class: "facts", role: "status" });
  const error = h("div", { class: "stack start-row", role: "alert" });
  const pause = iconButton("Pause the upload", "pause", () => (upload.progress.state === "paused" ? upload.goOn() : upload.pause()));
  const stop = iconButton("Stop the upload", "close", cancel);
  const show = (): void => {
    const { state, sent, total, files, filesDone, speed, leftS } = upload.progress;
    setBar(line, total ? sent / total : 0);
    title.textContent = { checking: "Preparing the upload", sending: "Uploading", waiting: "Waiting for the service", paused: "Paused", finishing: "Almost done", done: "Uploaded", failed: "The upload stopped" }[state];
    const parts = [`${bytes(sent)} of ${bytes(total)}`, `${filesDone} of ${count(files, "file")}`, speed > 0 && state === "sending" ? `${bytes(speed)}/s` : "", leftS !== null && state === "sending" ? `${duration(leftS)} left` : ""];
    facts.textContent = parts.filter(Boolean).join(" · ");
    const isPaused = state === "paused";
    fill(pause, icon(isPaused ? "play" : "pause"));
    pause.title = isPaused ? "Go on with the upload" : "Pause the upload";
    pause.setAttribute("aria-label", pause.title);
    pause.hidden = !upload.isLive;
    fill(error, state === "failed" && h("p", { class: "error", text: upload.progress.error }), state === "failed" && button("Choose the files again", cancel));
  };
  upload.onChange(show);
  show();
  return h("section", { class: "card" }, h("div", { class: "card-head" }, title, pause, stop), line, facts, error, h("p", { class: "hint", text: "You can look at other pages meanwhile. If this one is closed, choose the same files again later: what has arrived stays." }));
}

function failure(capture: Capture): HTMLElement {
  return h("section", { class: "card bad" }, h("h2", { text: "No model can be made of these files" }), h("p", { text: capture.error?.message ?? "" }), capture.error?.remedy ? h("p", { class: "remedy", text: capture.error.remedy }) : null);
}

export function gone(words: string): HTMLElement {
  return h("div", { class: "centre" }, h("section", { class: "card narrow" }, h("h1", { text: "Not here", tabindex: -1 }), h("p", { text: words }), h("a", { class: "button primary", href: "#/", text: "All jobs" })));
}

/** Preset, options and the button that starts. `inspection` says how long each preset takes. */
export function startForm(
  options: OptionsAnswer,
  inspection: Inspection | null,
  label: string,
  go: (preset: string, config: Record<string, unknown>) => Promise<void>,
  before: { preset: string; config: Record<string, Record<string, unknown>> } | null = null,
): HTMLElement {
  const preset = before?.preset ?? "default";
  // what the job before had changed of its own preset stays changed under another one, as the service does it
  const usual = options.presets[preset] ?? {};
  const over = (name: string): Record<string, Options> => {
    const sections = Object.entries(options.presets[name] ?? {}).map(([section, values]) => {
      const old = Object.entries(before?.config[section] ?? {}).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(usual[section]?.[key]));
      return [section, typeof values === "object" ? { ...values, ...Object.fromEntries(old) } : values];
    });
    return Object.fromEntries(sections) as Record<string, Options>;
  };
  const form: OptionsForm = optionsForm(options, over(preset));
  const choices = Object.keys(options.presets).map((name) => {
    const cost = inspection?.costs.find((row) => row.preset === name);
    const field = h("input", { type: "radio", name: "preset", value: name, checked: name === preset, onchange: () => form.show(over(name)) });
    const about = cost ? `About ${duration(60 * cost.minutes)}, ${bytes(cost.memory_mb * 1e6)} of memory` : "";
    return h("label", { class: "choice" }, field, h("span", { class: "choice-name", text: PRESETS[name]?.name ?? name }), h("span", { class: "muted", text: PRESETS[name]?.about ?? "" }), h("span", { class: "cost", text: about }));
  });
  const error = h("p", { class: "error", role: "alert" });
  const press = h("button", { type: "submit", class: "button primary big", text: label });
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    press.disabled = true;
    error.textContent = "";
    try {
      const chosen = element.querySelector<HTMLInputElement>("input[name=preset]:checked")?.value ?? preset;
      await go(chosen, form.changes());
    } catch (problem) {
      error.textContent = wordsOf(problem);
    } finally {
      press.disabled = false;
    }
  };
  const element: HTMLFormElement = h(
    "form",
    { class: "card start", novalidate: true, onsubmit: (event) => void submit(event) },
    h("fieldset", { class: "choices" }, h("legend", { text: "How thorough" }), ...choices),
    h("details", { class: "more" }, h("summary", { text: "Options" }), form.element),
    error,
    h("div", { class: "row end" }, press),
  );
  return element;
}
