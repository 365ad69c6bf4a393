// Dialogs on the browser's own element: focus stays inside, Escape closes.

import { type Child, button, h, iconButton } from "./dom";

let counted = 0;

export function dialog(title: string, ...children: Child[]): HTMLDialogElement {
  const id = `dialog-${(counted += 1)}`;
  const box: HTMLDialogElement = h(
    "dialog",
    { class: "dialog", "aria-labelledby": id },
    h("header", {}, h("h2", { id, text: title }), iconButton("Close", "close", () => box.close())),
    h("div", { class: "dialog-body" }, ...children),
  );
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

export function ask(title: string, text: string, label: string, isDangerous = false): Promise<boolean> {
  return new Promise((resolve) => {
    let answer = false;
    const yes = button(
      label,
      () => {
        answer = true;
        box.close();
      },
      { kind: isDangerous ? "danger" : "primary" },
    );
    const box = dialog(title, h("p", { text }), h("div", { class: "row end" }, button("Keep", () => box.close()), yes));
    box.addEventListener("close", () => resolve(answer));
    yes.focus();
  });
}
