import type { LoadViewer } from "../view/types";

/** Fills the page; the viewer is loaded when a job is opened. */
export function start(root: HTMLElement, loadViewer: LoadViewer): void {
  void loadViewer;
  root.textContent = "recon";
}
