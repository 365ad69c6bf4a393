import type { JobSource, Viewer } from "./types";

export function mountViewer(root: HTMLElement, job: JobSource): Viewer {
  root.dataset.job = job.jobId;
  return { dispose: () => root.replaceChildren() };
}
