// What a share's link shows: one model, to look at.

import type { Viewer } from "../view/types";
import { Problem, sleep, wordsOf } from "./api";
import { fill, h } from "./dom";
import { downloads } from "./downloads";
import { date } from "./format";
import { reportFrame } from "./report";
import { Files, shownMeasurements } from "./source";
import type { Context, View } from "./start";
import { Tabs } from "./tabs";
import type { SharedJob } from "./types";
import { STATES } from "./words";

const LOOK_MS = 5000;

export function sharedView(context: Context): View {
  const element = h("div", { class: "page wide" }, h("p", { class: "muted", text: "Loading…" }));
  const stopping = new AbortController();
  let viewer: Viewer | null = null;
  void run(context, element, stopping.signal, (mounted) => (viewer = mounted));
  return {
    element,
    title: "Shared model",
    end: () => {
      stopping.abort();
      viewer?.dispose();
    },
  };
}

async function run({ api, loadViewer, rename }: Context, element: HTMLElement, signal: AbortSignal, mounted: (viewer: Viewer) => void): Promise<void> {
  let told: SharedJob | null = null;
  const files = new Files(async () => {
    told = await api.get<SharedJob>("v1/shared", signal);
    return { items: told.artifacts, zip_url: told.zip_url };
  });
  const [model, reading, taking] = [h("div", { class: "model" }), h("div", { class: "stack" }), h("div", { class: "stack" })];
  let isOpen = false;
  while (!signal.aborted) {
    try {
      await files.refresh();
      const job = told as SharedJob | null;
      if (!job || signal.aborted) return;
      if (!isOpen) {
        rename(job.name);
        const tabs = new Tabs("Views of the model", [["model", "Model", model], ["report", "Report", reading], ["files", "Files", taking]]);
        const about = `${STATES[job.state]} · this link holds until ${date(job.expires_s)}`;
        fill(element, h("div", { class: "page-head" }, h("div", { class: "title" }, h("h1", { text: job.name, tabindex: -1 })), h("p", { class: "muted", text: about })), tabs.element);
      }
      fill(taking, downloads(files));
      if (!isOpen && files.items.length) {
        isOpen = true;
        const measurements = shownMeasurements(api, () => (told as SharedJob | null)?.measurements ?? []);
        const { mountViewer } = await loadViewer();
        if (signal.aborted) return;
        const inner = h("div");
        fill(model, inner);
        const viewer = await mountViewer(inner, { jobId: job.job_id, artifacts: () => files.artifacts(), onArtifacts: (changed) => files.onArtifacts(changed), artifactUrl: (name, renew) => files.artifactUrl(name, renew), measurements });
        if (signal.aborted) return viewer.dispose();
        mounted(viewer);
      } else if (!files.items.length) fill(model, h("p", { class: "empty", text: "There is nothing to see yet." }));
      if (!reading.querySelector("iframe")) fill(reading, (await reportFrame(files)) ?? h("p", { class: "empty", text: "There is no report yet." }));
      if (job.state !== "queued" && job.state !== "running") return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && (error.status === 401 || error.status === 404)) {
        return fill(element, h("div", { class: "centre" }, h("section", { class: "card narrow" }, h("h1", { text: "This link shows nothing any more", tabindex: -1 }), h("p", { text: "It has expired or was revoked, or the model was deleted. Ask whoever sent it for a new one." }))));
      }
      if (!isOpen) fill(element, h("p", { class: "error", text: wordsOf(error) }));
    }
    await sleep(LOOK_MS, signal).catch(() => {});
  }
}
