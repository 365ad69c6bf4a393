// What was recognised in a capture, and whether it will become one model.

import { sentence } from "./api";
import { h, icon } from "./dom";
import { bytes, count, duration, percent } from "./format";
import type { Capture, Inspection } from "./types";

const VERDICTS = {
  yes: { kind: "good", words: "This will make one model" },
  partly: { kind: "fair", words: "Part of this will make a model" },
  no: { kind: "bad", words: "This will hardly make a model" },
} as const;

export function preflightCard(capture: Capture): HTMLElement {
  const found = capture.inspection;
  if (!found) {
    const words = capture.error ? `It could not be looked at: ${capture.error.message}` : "It was not looked at beforehand.";
    return h("section", { class: "card" }, h("h2", { text: "Your capture" }), h("p", { class: "muted", text: words }));
  }
  const flight = found.preflight;
  const verdict = flight ? VERDICTS[flight.verdict] : null;
  return h(
    "section",
    { class: `card ${verdict?.kind ?? ""}` },
    verdict && h("h2", { class: "verdict" }, icon(verdict.kind === "good" ? "check" : "warning"), verdict.words),
    !verdict && h("h2", { text: "Your capture" }),
    flight && h("p", { text: sentence(flight.reason) }),
    flight && flight.verdict !== "yes" && flight.remedy ? h("p", { class: "remedy", text: sentence(flight.remedy) }) : null,
    h("dl", { class: "facts-grid" }, ...facts(capture, found).flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: value })])),
    found.warnings.length > 0 && h("ul", { class: "warnings" }, ...found.warnings.map((text) => h("li", {}, icon("warning"), h("span", { text: sentence(text) })))),
    ignored(found),
  );
}

function facts(capture: Capture, found: Inspection): [string, string][] {
  const what = [found.photos ? count(found.photos, "photo") : "", found.videos.length ? count(found.videos.length, "video") : ""].filter(Boolean).join(", ");
  const rows: [string, string][] = [["Recognised", `${what} · ${bytes(capture.size)}`]];
  for (const video of found.videos.slice(0, 3)) rows.push(["Video", `${video.source}: ${video.width} × ${video.height}${video.duration_s ? `, ${duration(video.duration_s)}` : ""}`]);
  for (const camera of found.cameras.slice(0, 3)) rows.push(["Camera", `${lensWords(camera.camera)}: ${camera.width} × ${camera.height}, ${count(camera.images, "image")}`]);
  rows.push(["Images used", `about ${found.images_estimated.toLocaleString("en")}`]);
  const scale = found.depth ? "from measured depth: lengths in metres" : found.gps ? `from GPS of ${count(found.gps.photos, "photo")}: lengths in metres, if it is good enough` : "not known: no GPS and no depth, so lengths have no unit";
  rows.push(["Scale", scale]);
  if (found.preflight) rows.push(["Will connect", `${percent(found.preflight.predicted_share)} of the images`]);
  return rows;
}

/** Maker, model and lens; the size that the service's name for them ends with is told beside it. */
function lensWords(camera: string): string {
  const words = camera.replace(/ \d+x\d+$/, "").replace(/ 35mm=(\d+)/, " (like $1mm on full frame)");
  return words.replace(/(\d)mm\b/g, "$1 mm");
}

function ignored(found: Inspection): HTMLElement | null {
  if (!found.ignored.length) return null;
  const rows = found.ignored.slice(0, 50).map((row) => h("li", { text: `${row.source}: ${row.reason}` }));
  return h("details", { class: "more" }, h("summary", { text: `${count(found.ignored.length, "file")} not used` }), h("ul", {}, ...rows));
}
