// The scale bar and the axes, drawn after each frame.
import { type PerspectiveCamera, Vector3 } from "three";
import { el, svg } from "./dom";
import { niceBelow } from "./measure/plot";
import { number, type Place } from "./place";

const BAR_PX = 140;
const AXIS_PX = 26;

export class ScaleBar {
  readonly #bar = el("div", { class: "v-bar" });
  readonly #text = el("span");
  readonly #note = el("span", { class: "v-not-metric", hidden: true }, "not metric");
  readonly element = el("div", { class: "v-scale" }, el("div", { class: "v-scale-text" }, this.#text, this.#note), this.#bar);

  draw(camera: PerspectiveCamera, target: Vector3, height: number, place: Place): void {
    const eye = target.clone().applyMatrix4(camera.matrixWorldInverse);
    const perPixel = (2 * Math.max(-eye.z, camera.near) * Math.tan((camera.fov * Math.PI) / 360)) / height;
    const nice = niceBelow(BAR_PX * perPixel);
    this.#bar.style.width = `${nice / perPixel}px`;
    this.#text.textContent = `${nice >= 1 ? String(nice) : trimmed(nice)} ${place.unit}`;
    this.#note.hidden = place.metric !== false;
  }
}

function trimmed(value: number): string {
  return value < 1e-4 ? value.toExponential(0) : number(value).replace(/0+$/, "");
}

export class Axes {
  readonly #root = svg("svg", { viewBox: "-40 -40 80 80", "aria-hidden": "true" });
  readonly #button: HTMLButtonElement;
  readonly element: HTMLElement;

  constructor(press: () => void) {
    this.#button = el("button", { type: "button", "aria-label": "Look along Y", click: press }); // until what is up is known
    this.element = el("div", { class: "v-axes" }, this.#root, this.#button);
  }

  draw(camera: PerspectiveCamera, place: Place): void {
    const names = place.isEastNorth ? ["E", "N", "Up"] : ["X", "Y", "Z"];
    const inverse = camera.quaternion.clone().invert();
    const axes = names.map((name, axis) => ({ name, axis, tip: new Vector3().setComponent(axis, 1).applyQuaternion(inverse) }));
    axes.sort((a, b) => a.tip.z - b.tip.z);
    this.#root.replaceChildren(
      ...axes.flatMap(({ name, axis, tip }) => {
        const [x, y] = [tip.x * AXIS_PX, -tip.y * AXIS_PX];
        return [
          svg("line", { class: `v-axis v-axis-${axis}`, x1: 0, y1: 0, x2: x, y2: y }),
          svg("text", { class: `v-axis-name v-axis-${axis}`, x: x * 1.34, y: y * 1.34 + 3.5, "text-anchor": "middle" }, name),
        ];
      }),
    );
    this.#button.ariaLabel = this.#button.title = place.isEastNorth ? "Look north" : "Look along Y";
  }
}
