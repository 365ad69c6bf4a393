// Files to take away, with sizes and what they are for.

import { local } from "./api";
import { h, icon } from "./dom";
import { bytes } from "./format";
import type { Files } from "./source";
import type { Artifact } from "./types";
import { fileRank, fileWords } from "./words";

export function downloads(files: Files): HTMLElement {
  const results = files.items.filter((item) => item.kind === "result");
  const previews = files.items.filter((item) => item.kind === "preview");
  if (!files.items.length) return h("p", { class: "empty", text: "There are no files yet." });
  const size = results.reduce((sum, item) => sum + item.size, 0);
  const all = files.zipUrl && h("a", { class: "button primary", href: local(files.zipUrl), download: true }, icon("download"), `Everything as a zip, about ${bytes(size)}`);
  return h("div", { class: "stack" }, all && h("div", { class: "row" }, all), results.length > 0 && table("Results", results), previews.length > 0 && table("Previews", previews));
}

function table(words: string, items: Artifact[]): HTMLElement {
  const known = [...items].sort((a, b) => fileRank(a.name) - fileRank(b.name) || (a.name < b.name ? -1 : 1));
  const rows = known.map((item) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("a", { href: local(item.url), download: item.name.split("/").pop() ?? true, text: item.name })),
      h("td", { class: "muted", text: fileWords(item.name) }),
      h("td", { class: "number", text: bytes(item.size) }),
    ),
  );
  return h("table", { class: "files" }, h("caption", { text: words }), h("thead", { class: "sr-only" }, h("tr", {}, h("th", { scope: "col", text: "File" }), h("th", { scope: "col", text: "What it is" }), h("th", { scope: "col", text: "Size" }))), h("tbody", {}, ...rows));
}
