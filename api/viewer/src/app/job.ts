// One job: how far it is, the model in the viewer as soon as there is something to see, its report, files and shares.

import type { Viewer } from "../view/types";
import { type Api, Problem, sleep, wordsOf } from "./api";
import { gone, startForm } from "./capture";
import { dialog } from "./dialog";
import { button, fill, h, icon, iconButton } from "./dom";
import { downloads } from "./downloads";
import { follow } from "./events";
import { deleteLater } from "./jobs";
import { JobProgress } from "./progress";
import { renamed } from "./rename";
import { reportFrame, summary } from "./report";
import { sharesPanel } from "./shares";
import { Files, savedMeasurements } from "./source";
import type { Context, View } from "./start";
import { Tabs } from "./tabs";
import { toast } from "./toast";
import type { ArtifactList, Capture, Job, OptionsAnswer, Told } from "./types";

const LOOK_MS = 5000;
const SOON_MS = 300;
/** What the viewer can show. */
const SHOWN = /^(points\.(laz|ply)|mesh\.glb|preview\/(sparse|points)\.ply)$/;

export function jobView(context: Context, id: string): View {
  const shown = new Shown(context, id);
  void shown.run();
  return { element: shown.element, title: "Model", end: () => shown.end() };
}

class Shown {
  readonly element = h("div", { class: "page wide" }, h("p", { class: "muted", text: "Loading…" }));
  private readonly api: Api;
  private readonly stopping = new AbortController();
  private readonly files: Files;
  private readonly actions = h("div", { class: "row" });
  private readonly progress: JobProgress;
  private readonly model = h("div", { class: "model" });
  private readonly reading = h("div", { class: "stack" });
  private readonly taking = h("div", { class: "stack" });
  private readonly sharing = h("div", { class: "stack" });
  private readonly tabs: Tabs;
  private viewer: Viewer | null = null;
  private isMounting = false;
  private job: Job | null = null;
  private soon = 0;
  private asked = 0;
  private seen = 0;
  private reported = "";

  constructor(
    private readonly context: Context,
    private readonly id: string,
  ) {
    this.api = context.api;
    this.files = new Files(() => this.api.get<ArtifactList>(`v1/jobs/${id}/artifacts`));
    this.progress = new JobProgress();
    this.tabs = new Tabs("Views of the model", [
      ["model", "Model", this.model],
      ["report", "Report", this.reading],
      ["files", "Files", this.taking],
      ["share", "Share", this.sharing],
    ]);
  }

  end(): void {
    this.stopping.abort();
    this.viewer?.dispose();
    clearTimeout(this.soon);
  }

  async run(): Promise<void> {
    const { signal } = this.stopping;
    void this.context.loadViewer().catch(() => {}); // on its way while we ask what there is
    let following = false;
    while (!signal.aborted) {
      try {
        await this.look();
        if (this.isLive && !following) {
          following = true;
          void this.listen().finally(() => (following = false));
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Problem && error.status === 404) return this.lost();
        if (!this.job) fill(this.element, h("p", { class: "error", text: wordsOf(error) }));
      }
      await sleep(this.isLive || !this.job ? LOOK_MS : 3 * LOOK_MS, signal).catch(() => {});
    }
  }

  private get isLive(): boolean {
    return this.job?.state === "queued" || this.job?.state === "running";
  }

  private lost(): void {
    this.end();
    fill(this.element, gone("This job does not exist any more: it was deleted, perhaps in another tab."));
  }

  private async listen(): Promise<void> {
    try {
      await follow(this.api, this.id, (told) => this.take(told), this.stopping.signal);
    } catch (error) {
      if (error instanceof Problem && error.status === 404) this.lost();
    }
  }

  private take(told: Told): void {
    this.progress.take(told);
    if (told.kind === "progress" || told.kind === "log") return;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => void this.look().catch(() => {}), SOON_MS) as unknown as number;
  }

  private async look(): Promise<void> {
    const { signal } = this.stopping;
    const turn = ++this.asked;
    const [job] = await Promise.all([this.api.get<Job>(`v1/jobs/${this.id}`, signal), this.files.refresh()]);
    if (signal.aborted || turn < this.seen) return; // a later look was answered before
    this.seen = turn;
    const before = this.job;
    this.job = job;
    if (!before) this.open(job);
    this.progress.show(job);
    if (before?.state !== job.state) this.showActions(job);
    await this.showModel(job);
    await this.showReport(job);
    fill(this.taking, downloads(this.files));
  }

  private open(job: Job): void {
    this.context.rename(job.name);
    const head = h("div", { class: "page-head" }, h("a", { class: "button plain square", href: "#/", "aria-label": "All jobs" }, icon("back")), renamed(this.api, job.capture_id, job.name), this.actions);
    fill(this.element, head, this.progress.element, this.tabs.element);
    this.tabs.onShow("share", () => fill(this.sharing, sharesPanel(this.api, this.id)));
  }

  private showActions(job: Job): void {
    const isLive = this.isLive;
    const mayRetry = job.state === "failed" || job.state === "cancelled";
    // a button that is replaced between press and release hears no click
    const shown = `${isLive} ${mayRetry} ${job.name}`;
    if (this.actions.dataset.shown === shown) return;
    this.actions.dataset.shown = shown;
    fill(
      this.actions,
      isLive && button("Cancel", () => void this.act("cancel", "Cancelled. What was computed stays for later."), { icon: "stop" }),
      mayRetry && button("Try again", () => void this.act("retry", "It goes on where it stopped."), { icon: "again", kind: "primary" }),
      !isLive && button("Run again with other options", () => void this.rerun(job), { icon: mayRetry ? "edit" : "again" }),
      iconButton(`Delete ${job.name}`, "trash", () => this.remove(job)),
    );
  }

  private async act(what: string, words: string): Promise<void> {
    try {
      await this.api.post(`v1/jobs/${this.id}/${what}`);
      if (what === "retry") this.progress.clear();
      toast(words);
      await this.look();
      if (what === "retry") void this.listen();
    } catch (error) {
      toast(wordsOf(error), "error");
    }
  }

  private remove(job: Job): void {
    location.hash = "#/";
    deleteLater(this.api, `v1/jobs/${this.id}`, `“${job.name}” is deleted.`, () => (location.hash = `#/jobs/${this.id}`));
  }

  private async rerun(job: Job): Promise<void> {
    try {
      const [options, capture] = await Promise.all([this.api.get<OptionsAnswer>("v1/options"), this.api.get<Capture>(`v1/captures/${job.capture_id}`)]);
      const form = startForm(
        options,
        capture.inspection,
        "Run again",
        async (preset, config) => {
          const made = await this.api.post<Job>(`v1/jobs/${this.id}/rerun`, { preset, config });
          box.close();
          location.hash = `#/jobs/${made.id}`;
        },
        { preset: job.preset, config: job.config },
      );
      const box = dialog("Run again with other options", h("p", { class: "muted", text: "A new model of the same capture. Only what depends on your changes is computed again." }), form);
    } catch (error) {
      toast(wordsOf(error), "error");
    }
  }

  private async showModel(job: Job): Promise<void> {
    if (this.viewer || this.isMounting) return;
    if (!this.files.items.some((item) => SHOWN.test(item.name))) {
      const words = this.isLive ? "The first preview appears here while the job runs." : job.state === "done" ? "This job made no model: its options said to stop before." : "There is nothing to see yet.";
      fill(this.model, h("p", { class: "empty", text: words }));
      return;
    }
    this.isMounting = true;
    const { mountViewer } = await this.context.loadViewer().finally(() => (this.isMounting = false));
    if (this.stopping.signal.aborted) return;
    this.isMounting = true;
    const inner = h("div");
    fill(this.model, inner);
    this.viewer = await mountViewer(inner, {
      jobId: this.id,
      artifacts: () => this.files.artifacts(),
      onArtifacts: (changed) => this.files.onArtifacts(changed),
      artifactUrl: (name, renew) => this.files.artifactUrl(name, renew),
      measurements: savedMeasurements(this.api, this.id),
    });
    if (this.stopping.signal.aborted) this.viewer.dispose();
  }

  private async showReport(job: Job): Promise<void> {
    const key = `${job.state} ${this.files.find("report.html")?.id ?? ""}`;
    if (key === this.reported) return;
    this.reported = key;
    const page = await reportFrame(this.files);
    fill(this.reading, page ?? h("p", { class: "empty", text: this.isLive ? "The report is written at the end." : "This job has no report." }));
    const told = await summary(this.files).catch(() => null);
    if (told) this.progress.conclude(told);
  }
}
