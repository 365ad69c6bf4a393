// The tools at the side, and the buttons that open panels.
import { el, icon, type IconName } from "./dom";

export interface Tool {
  readonly icon: IconName;
  readonly label: string;
  press(): void;
}

/** A column of buttons; groups stand apart. Those of `pressed` stay down. */
export class Toolbar {
  readonly element: HTMLElement;
  readonly #buttons = new Map<string, HTMLButtonElement>();

  constructor(label: string, groups: readonly (readonly Tool[])[], className = "v-tools") {
    this.element = el(
      "div",
      { class: className, role: "toolbar", "aria-label": label },
      ...groups.map((tools) => el("div", { class: "v-group" }, ...tools.map((tool) => this.#button(tool)))),
    );
  }

  press(label: string, isDown: boolean): void {
    this.#buttons.get(label)?.setAttribute("aria-pressed", String(isDown));
  }

  focus(label: string): void {
    this.#buttons.get(label)?.focus();
  }

  #button(tool: Tool): HTMLButtonElement {
    const button = el("button", { type: "button", class: "v-button", "aria-label": tool.label, title: tool.label, click: () => tool.press() }, icon(tool.icon));
    this.#buttons.set(tool.label, button);
    return button;
  }
}
