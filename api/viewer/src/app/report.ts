// The report: the page itself in a frame that has an origin of its own, and its facts.

import { h } from "./dom";
import type { Files } from "./source";
import type { Report } from "./types";

export async function reportFrame(files: Files): Promise<HTMLElement | null> {
  if (!files.find("report.html")) return null;
  const url = await files.artifactUrl("report.html");
  // it is made of what people upload: without allow-same-origin its scripts are nobody to this page and to the API
  return h("iframe", { class: "report", title: "Report", sandbox: "allow-scripts", src: url, loading: "lazy" });
}

export async function summary(files: Files): Promise<Report | null> {
  if (!files.find("report.json")) return null;
  const answer = await fetch(await files.artifactUrl("report.json"));
  return answer.ok ? ((await answer.json()) as Report) : null;
}
