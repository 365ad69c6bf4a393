// Tabs as the ARIA practices have them: arrows move, the panel that is not shown stays as it is.

import { h } from "./dom";

let counted = 0;

export class Tabs {
  readonly element: HTMLElement;
  private readonly tabs: HTMLButtonElement[];
  private readonly callbacks = new Map<string, () => void>();

  constructor(
    label: string,
    private readonly panels: [string, string, HTMLElement][],
  ) {
    const id = `tabs-${(counted += 1)}`;
    this.tabs = panels.map(([name, words, panel]) => {
      const tab = h("button", { type: "button", role: "tab", class: "tab", id: `${id}-${name}`, "aria-controls": `${id}-${name}-panel`, text: words, onclick: () => this.show(name) });
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      panel.id = `${id}-${name}-panel`;
      return tab;
    });
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown: (event) => this.move(event as KeyboardEvent) }, ...this.tabs);
    this.element = h("div", { class: "tabbed" }, list, ...panels.map(([, , panel]) => panel));
    this.show(panels[0]?.[0] ?? "");
  }

  onShow(name: string, callback: () => void): void {
    this.callbacks.set(name, callback);
  }

  show(name: string): void {
    for (const [at, [other, , panel]] of this.panels.entries()) {
      const isShown = other === name;
      panel.hidden = !isShown;
      this.tabs[at]?.setAttribute("aria-selected", String(isShown));
      this.tabs[at]?.setAttribute("tabindex", isShown ? "0" : "-1");
    }
    this.callbacks.get(name)?.();
  }

  private move(event: KeyboardEvent): void {
    const now = this.tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true");
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: this.tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const at = (to + this.tabs.length) % this.tabs.length;
    this.show(this.panels[at]?.[0] ?? "");
    this.tabs[at]?.focus();
  }
}
