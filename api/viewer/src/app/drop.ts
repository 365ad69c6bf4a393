// The place where files are dropped or chosen.

import { button, h, icon } from "./dom";
import { type Chosen, dropped, picked } from "./files";
import { toast } from "./toast";

/** Calls `take` with what was chosen: files, a folder, a zip. `words` is the line to read first. */
export function dropZone(words: string, take: (files: Chosen[]) => void, isSmall = false): HTMLElement {
  const files = h("input", { type: "file", multiple: true, class: "hidden", tabindex: -1, "aria-hidden": "true", "data-pick": "files" });
  const folder = h("input", { type: "file", webkitdirectory: true, class: "hidden", tabindex: -1, "aria-hidden": "true", "data-pick": "folder" });
  const give = (found: Chosen[]): void => {
    if (found.length) take(found);
    else toast("There is no file in what you chose.", "error");
  };
  for (const field of [files, folder]) {
    field.addEventListener("change", () => {
      const found = picked(field.files ?? new DataTransfer().files);
      field.value = "";
      give(found);
    });
  }
  const zone = h(
    "div",
    { class: isSmall ? "drop small" : "drop" },
    files,
    folder,
    icon("upload"),
    h("p", { class: "drop-words", text: words }),
    h("p", { class: "muted", text: "Photos, a video, a folder, or a zip" }),
    h("div", { class: "row centre-row" }, button("Choose files", () => files.click(), { kind: "primary" }), button("Choose a folder", () => folder.click(), { icon: "folder" })),
  );
  const over = (event: DragEvent): void => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.addEventListener("dragenter", over);
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", (event) => {
    if (!zone.contains(event.relatedTarget as Node | null)) zone.classList.remove("over");
  });
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer) void dropped(event.dataTransfer).then(give, () => toast("What you dropped can't be read.", "error"));
  });
  return zone;
}
