// Buttons to walk with on touch screens: each holds a key down.
import { el, svg } from "./dom";
import type { Navigator } from "./navigate";

const TOUCH = matchMedia("(pointer: coarse)");
const BUTTONS = [
  ["ArrowUp", "Forward", "M12 5l6 8H6z"],
  ["ArrowLeft", "Left", "M5 12l8-6v12z"],
  ["ArrowDown", "Back", "M12 19l6-8H6z"],
  ["ArrowRight", "Right", "M19 12l-8-6v12z"],
] as const;

export class WalkPad {
  readonly element = el("div", { class: "v-pad", role: "group", "aria-label": "Steps", hidden: true });

  constructor(navigator: Navigator) {
    for (const [code, label, path] of BUTTONS) {
      const hold = (isHeld: boolean) => (event: Event) => {
        event.preventDefault();
        navigator.hold(code, isHeld);
      };
      const release = hold(false);
      this.element.append(
        el(
          "button",
          { type: "button", class: "v-button", "aria-label": label, pointerdown: hold(true), pointerup: release, pointerleave: release, pointercancel: release },
          svg("svg", { viewBox: "0 0 24 24", class: "v-icon v-solid", "aria-hidden": "true" }, svg("path", { d: path })),
        ),
      );
    }
  }

  get hint(): string {
    return TOUCH.matches ? "Drag to look around, hold an arrow to walk." : "Drag to look around. Go with W A S D or the arrow keys, E and Q for up and down.";
  }

  show(isShown: boolean): void {
    this.element.hidden = !isShown || !TOUCH.matches;
  }
}
