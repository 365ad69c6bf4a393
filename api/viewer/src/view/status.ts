// What the viewer says: a line that comes and goes, a message where there is nothing to see, problems that can be put away.
import { el, icon } from "./dom";

export class Status {
  readonly #line = el("div", { class: "v-hint", role: "status", hidden: true });
  readonly #message = el("div", { class: "v-message", role: "status", hidden: true });
  readonly #problem = el("div", { class: "v-problem", role: "alert", hidden: true });
  readonly element = el("div", { class: "v-status" }, this.#problem, this.#line, this.#message);

  /** A short hint. */
  tell(text: string): void {
    this.#line.textContent = text;
    this.#line.hidden = !text;
  }

  /** In the middle, where the model would be. */
  say(text: string): void {
    this.#message.textContent = text;
    this.#message.hidden = !text;
  }

  get hasProblem(): boolean {
    return !this.#problem.hidden;
  }

  problem(reason: unknown): void {
    if (reason instanceof DOMException && reason.name === "AbortError") return;
    const text = reason instanceof Error ? reason.message : String(reason);
    const close = el("button", { type: "button", class: "v-button v-small", "aria-label": "Dismiss", click: () => (this.#problem.hidden = true) }, icon("close"));
    this.#problem.replaceChildren(el("span", {}, text), close);
    this.#problem.hidden = false;
  }

  lost(isLost: boolean): void {
    this.say(isLost ? "The graphics card was taken away by the system. The picture comes back as soon as it does." : "");
  }
}
