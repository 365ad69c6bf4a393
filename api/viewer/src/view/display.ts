// The panel that says what is shown and how.
import { Box3, Vector3 } from "three";
import { LEGEND, MODE_NAMES, MODES, type Mode } from "./colours";
import { el } from "./dom";
import { number, type Place } from "./place";
import type { Layer, Scene } from "./scene";

const STEPS = 200;
const AXES = ["X", "Y", "Z"] as const;

export class DisplayPanel {
  readonly element: HTMLElement;
  onNeedMesh: () => Promise<void> = () => Promise.resolve();
  hasMesh: () => boolean = () => false;
  onCameras: (isShown: boolean) => void = () => undefined;
  readonly #scene: Scene;
  readonly #layers = new Map<Layer, HTMLInputElement>();
  readonly #mode = el("select", { id: "v-mode" });
  readonly #legend = el("div", { class: "v-legend", hidden: true });
  readonly #size = el("input", { type: "range", id: "v-size", min: 40, max: 300, value: 100 });
  readonly #shading = el("input", { type: "checkbox", checked: true });
  readonly #cameras = el("input", { type: "checkbox", disabled: true });
  readonly #clip = el("input", { type: "checkbox" });
  readonly #ends: [HTMLInputElement, HTMLInputElement][];
  readonly #ranges = el("div", { class: "v-ranges", hidden: true });
  readonly #facts = el("p", { class: "v-note" });
  readonly #full = new Box3();
  #place: Place | null = null;

  constructor(scene: Scene) {
    this.#scene = scene;
    const layer = (value: Layer, label: string): HTMLElement => {
      const input = el("input", { type: "radio", name: "v-layer", value, disabled: true, change: () => void this.#choose(value) });
      this.#layers.set(value, input);
      return el("label", {}, input, el("span", {}, label));
    };
    this.#mode.addEventListener("change", () => this.#recolour());
    this.#size.addEventListener("input", () => {
      if (scene.cloud) scene.cloud.size = Number(this.#size.value) / 100;
      scene.redraw();
    });
    this.#shading.addEventListener("change", () => ((scene.shading = this.#shading.checked), scene.redraw()));
    this.#cameras.addEventListener("change", () => this.onCameras(this.#cameras.checked));
    this.#clip.addEventListener("change", () => this.#cut());
    this.#ends = AXES.map((axis) => {
      const end = (which: string, value: number): HTMLInputElement =>
        el("input", { type: "range", min: 0, max: STEPS, value, "aria-label": `${axis} ${which}`, input: () => this.#cut() });
      return [end("from", 0), end("to", STEPS)];
    });
    this.#ranges.append(
      ...AXES.map((axis, i) => el("div", { class: "v-range" }, el("span", {}, axis), ...this.#ends[i]!)),
      el("button", { type: "button", class: "v-text-button", click: () => this.#whole() }, "Show all"),
    );
    this.element = el(
      "section",
      { class: "v-panel", "aria-label": "Display" },
      el("h2", {}, "Display"),
      el("div", { class: "v-segments", role: "radiogroup", "aria-label": "Show" }, layer("points", "Points"), layer("mesh", "Mesh")),
      el("label", { class: "v-row", for: "v-mode" }, "Colour by", this.#mode),
      this.#legend,
      el("label", { class: "v-row v-of-points", for: "v-size" }, "Point size", this.#size),
      el("label", { class: "v-check v-of-points" }, this.#shading, "Shaded edges"),
      el("label", { class: "v-check" }, this.#cameras, "Cameras"),
      el("label", { class: "v-check" }, this.#clip, "Clipping box"),
      this.#ranges,
      this.#facts,
    );
    this.#modes();
  }

  set place(place: Place) {
    this.#place = place;
    this.#describe();
  }

  set cameras(count: number) {
    this.#cameras.disabled = count === 0;
    this.#cameras.parentElement?.lastChild?.replaceWith(count ? `Cameras (${count})` : "Cameras");
  }

  get hasCameras(): boolean {
    return this.#cameras.checked;
  }

  /** The box that the sliders of the clipping box span. */
  set bounds(box: Box3) {
    this.#full.copy(box);
    this.#cut();
  }

  /** What there is may be chosen. */
  offer(): void {
    const { cloud } = this.#scene;
    this.#layers.get("points")!.disabled = !cloud?.cloud.count;
    this.#layers.get("mesh")!.disabled = !this.hasMesh();
    if (cloud) cloud.size = Number(this.#size.value) / 100;
    this.#modes();
    this.#describe();
  }

  show(layer: Layer): void {
    this.#scene.layer = layer;
    this.#layers.get(layer)!.checked = true;
    this.element.querySelectorAll(".v-of-points").forEach((row) => row.classList.toggle("v-hidden", layer === "mesh"));
    this.#modes();
    this.#scene.redraw();
    this.#describe();
  }

  async #choose(layer: Layer): Promise<void> {
    if (layer === "mesh" && !this.#scene.surface) await this.onNeedMesh();
    const isThere = layer === "mesh" ? this.#scene.surface : this.#scene.cloud;
    this.show(isThere ? layer : this.#scene.layer);
  }

  /** After a frame. */
  drawn(): void {
    this.#describe();
  }

  #modes(): void {
    const { layer, cloud, surface } = this.#scene;
    const can: Record<Mode, boolean> = {
      photo: layer === "points" || surface?.hasTexture !== false,
      height: true,
      normal: layer === "mesh" || cloud?.cloud.has.normal === true,
      confidence: layer === "points" && cloud?.cloud.has.confidence === true,
      views: layer === "points" && cloud?.cloud.has.views === true,
      shape: layer === "mesh" || cloud?.cloud.has.normal === true,
    };
    const before = this.#mode.value as Mode | "";
    this.#mode.replaceChildren(...MODES.filter((mode) => can[mode]).map((mode) => el("option", { value: mode }, MODE_NAMES[mode])));
    this.#mode.value = before && can[before] ? before : can.photo ? "photo" : "shape";
    this.#recolour();
  }

  #recolour(): void {
    const mode = this.#mode.value as Mode;
    this.#scene.mode = mode;
    const { uHeight, uMostViews } = this.#scene.look;
    const unit = this.#place?.unit ?? "units";
    const ends: Partial<Record<Mode, [string, string]>> = {
      height: [`${number(uHeight.value.x)} ${unit}`, `${number(uHeight.value.y)} ${unit}`],
      confidence: ["0", "1"],
      views: ["2", `${uMostViews.value} or more`],
    };
    const shown = ends[mode];
    this.#legend.hidden = !shown;
    if (!shown) return;
    const ramp = el("div", { class: "v-ramp" });
    ramp.style.background = LEGEND;
    this.#legend.replaceChildren(ramp, el("div", { class: "v-ends" }, el("span", {}, shown[0]), el("span", {}, shown[1])));
  }

  #cut(): void {
    this.#ranges.hidden = !this.#clip.checked;
    if (!this.#clip.checked) return this.#scene.clip(null);
    const at = (axis: number, share: number): number =>
      this.#full.min.getComponent(axis) + share * (this.#full.max.getComponent(axis) - this.#full.min.getComponent(axis));
    const box = new Box3(new Vector3(), new Vector3());
    this.#ends.forEach(([from, to], axis) => {
      const [a, b] = [Number(from.value) / STEPS, Number(to.value) / STEPS];
      box.min.setComponent(axis, at(axis, Math.min(a, b)));
      box.max.setComponent(axis, at(axis, Math.max(a, b)));
      from.setAttribute("aria-valuetext", number(at(axis, a)));
      to.setAttribute("aria-valuetext", number(at(axis, b)));
    });
    this.#scene.clip(box);
  }

  #whole(): void {
    this.#ends.forEach(([from, to]) => ([from.value, to.value] = ["0", String(STEPS)]));
    this.#cut();
  }

  #describe(): void {
    const { cloud, surface, layer, drawnPoints } = this.#scene;
    const unit = this.#place?.metric === false ? " The scale is not known: lengths are in arbitrary units." : "";
    let text = "";
    if (layer === "points" && cloud) text = `${cloud.cloud.count.toLocaleString("en")} points, ${Math.round(drawnPoints).toLocaleString("en")} drawn.`;
    else if (surface) text = `${Math.round(surface.faces).toLocaleString("en")} triangles${surface.hasTexture ? "" : ", without texture"}.`;
    if (this.#facts.textContent !== text + unit) this.#facts.textContent = text + unit;
  }
}
