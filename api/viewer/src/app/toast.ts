// Short notes at the foot of the page, read aloud; one may offer to take back what was done.

import { button, fill, h, iconButton } from "./dom";

const SHOWN_MS = 6000;
const place = h("div", { class: "toasts", role: "status", "aria-live": "polite" });

export function toasts(): HTMLElement {
  return place;
}

export function toast(text: string, kind: "note" | "error" = "note"): void {
  const note = h("div", { class: `toast ${kind}` }, h("p", { text }));
  note.append(iconButton("Dismiss", "close", () => note.remove()));
  place.append(note);
  setTimeout(() => note.remove(), kind === "error" ? 3 * SHOWN_MS : SHOWN_MS);
}

/** Says that it is done and waits: `commit` runs after a while, or when the page is left; `undo` if that is pressed before. */
export function undoable(text: string, commit: () => void, undo: () => void, ms = 8000): void {
  const note = h("div", { class: "toast" });
  const end = (): void => {
    clearTimeout(timer);
    removeEventListener("pagehide", finish);
    note.remove();
  };
  const finish = (): void => {
    end();
    commit();
  };
  const timer = setTimeout(finish, ms);
  addEventListener("pagehide", finish);
  fill(
    note,
    h("p", { text }),
    button("Undo", () => {
      end();
      undo();
    }),
  );
  place.append(note);
}
