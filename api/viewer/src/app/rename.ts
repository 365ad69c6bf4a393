// The name of a capture as the page's heading; a press on the pencil makes it a field.

import { type Api, wordsOf } from "./api";
import { button, fill, h, iconButton } from "./dom";
import { toast } from "./toast";

export function renamed(api: Api, captureId: string, name: string): HTMLElement {
  const place = h("div", { class: "title" });
  const show = (): void => fill(place, h("h1", { text: name, tabindex: -1, title: name }), iconButton("Rename", "edit", change));
  const change = (): void => {
    const field = h("input", { type: "text", value: name, "aria-label": "Name", maxlength: 200, required: true });
    const save = async (event: Event): Promise<void> => {
      event.preventDefault();
      const wanted = field.value.trim();
      if (wanted && wanted !== name) {
        try {
          name = (await api.ask<{ name: string }>("PATCH", `v1/captures/${captureId}`, { name: wanted })).name;
          document.title = `${name} · recon`;
        } catch (error) {
          toast(wordsOf(error), "error");
        }
      }
      show();
    };
    field.addEventListener("keydown", (event) => event.key === "Escape" && show());
    fill(place, h("form", { class: "row", onsubmit: (event) => void save(event) }, field, h("button", { type: "submit", class: "button primary", text: "Save" }), button("Keep", show)));
    field.select();
    field.focus();
  };
  show();
  return place;
}
