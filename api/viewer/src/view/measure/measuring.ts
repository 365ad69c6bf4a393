// Measuring as a whole: tools, overlay, list and profiles.
import { Vector3 } from "three";
import type { Layers } from "../layers";
import type { Scene } from "../scene";
import type { Status } from "../status";
import type { Tool } from "../toolbar";
import type { MeasureKind, Measurement, Measurements } from "../types";
import { crossing, KIND_NAMES, measure, type ProfilePoint, Strip } from "./geometry";
import { type Drawing, Overlay } from "./overlay";
import { MeasurePanel, valueOf } from "./panel";
import type { Profile } from "./plot";
import { MeasureTool, type Open } from "./tool";

const KINDS: readonly MeasureKind[] = ["distance", "height", "area", "profile"];
const HINTS: Record<MeasureKind, string> = {
  distance: "Click two points.",
  height: "Click two points: the second is higher or lower by so much.",
  area: "Click the corners one after the other; the first again, a double click or Enter ends it.",
  profile: "Click where the profile begins and where it ends.",
};
/** Half the width of the strip whose points a profile shows, as a share of its length. */
const HALF_STRIP = 0.01;

export class Measuring {
  /** A tool, by its label, is taken up or put down. */
  onTool: (label: string, isOn: boolean) => void = () => undefined;
  readonly overlay = new Overlay();
  readonly panel: MeasurePanel;
  readonly #tool: MeasureTool;
  readonly #scene: Scene;
  readonly #layers: Layers;
  readonly #status: Status;
  #open: Open | null = null;

  constructor(scene: Scene, layers: Layers, status: Status, store: Measurements) {
    this.#scene = scene;
    this.#layers = layers;
    this.#status = status;
    this.panel = new MeasurePanel(store);
    this.panel.onChange = () => this.#redraw();
    this.panel.onChoose = (row) => this.#bringIntoView(row);
    this.panel.onProblem = (reason) => status.problem(reason);
    this.panel.profileOf = (row) => this.#profile(row);
    this.#tool = new MeasureTool(scene.canvas, (x, y) => scene.pick(x, y), (point) => scene.project(point));
    this.#tool.onChange = (open) => {
      this.#open = open;
      KINDS.forEach((kind) => this.onTool(KIND_NAMES[kind], kind === open?.kind));
      scene.canvas.classList.toggle("v-measuring", open !== null);
      this.#redraw();
    };
    this.#tool.onMiss = () => status.tell("There is no point of the model there. Click on the model.");
    this.#tool.onDone = (kind, points, value) => void this.#done(kind, points, value);
  }

  get isOn(): boolean {
    return this.#tool.kind !== null;
  }

  tools(opened: () => void): Tool[] {
    return KINDS.map((kind) => ({
      icon: kind,
      label: KIND_NAMES[kind],
      press: () => {
        if (this.#tool.kind === kind) return this.stop();
        opened();
        this.#tool.begin(kind);
        this.#status.tell(HINTS[kind]);
        this.#scene.canvas.focus();
      },
    }));
  }

  stop(): void {
    this.#tool.stop();
    this.#status.tell("");
  }

  async load(): Promise<void> {
    try {
      await this.panel.load();
    } catch (reason) {
      this.#status.problem(reason);
    }
  }

  /** After each frame. */
  draw(): void {
    const { camera, canvas } = this.#scene;
    this.overlay.draw(camera, canvas.clientWidth, canvas.clientHeight);
  }

  dispose(): void {
    this.#tool.dispose();
  }

  async #done(kind: MeasureKind, points: readonly Vector3[], value: number): Promise<void> {
    const { unit, metric } = this.#unit();
    const name = this.panel.nextName(kind);
    const corners = points.map((point) => point.toArray() as [number, number, number]);
    const row = { kind, name, points: corners, value, unit: kind === "area" ? `${unit}²` : unit, metric };
    this.#status.tell(`${name}: ${valueOf(row)}. ${HINTS[kind]}`);
    try {
      await this.panel.add(row);
    } catch (reason) {
      this.#status.problem(reason);
    }
  }

  #unit(): { unit: string; metric: boolean } {
    const place = this.#layers.place;
    return { unit: place?.unit ?? "units", metric: place?.metric === true };
  }

  #redraw(): void {
    const drawings: Drawing[] = this.panel.rows.map((row) => ({
      kind: row.kind,
      points: row.points.map((point) => new Vector3(...point)),
      label: valueOf(row),
      isOpen: false,
      isChosen: row.id === this.panel.chosen,
    }));
    if (this.#open) {
      const { kind, points, hover } = this.#open;
      const all = hover ? [...points, hover] : points;
      const unit = kind === "area" ? `${this.#unit().unit}²` : this.#unit().unit;
      const label = all.length >= 2 && !(kind === "area" && all.length < 3) ? valueOf({ kind, value: measure(kind, all), unit }) : "";
      if (all.length) drawings.push({ kind, points: all, label, isOpen: true, isChosen: true });
    }
    this.overlay.set(drawings);
    this.#scene.redraw();
  }

  #bringIntoView(row: Measurement): void {
    const { navigator, camera } = this.#scene;
    const points = row.points.map((point) => new Vector3(...point));
    const isSeen = points.every((point) => {
      const { x, y, z } = point.clone().project(camera);
      return Math.abs(x) < 0.95 && Math.abs(y) < 0.95 && z < 1;
    });
    if (isSeen) return;
    const middle = points.reduce((sum, point) => sum.add(point), new Vector3()).divideScalar(points.length);
    const size = Math.max(...points.map((point) => point.distanceTo(middle)), this.#scene.radius * 0.05);
    const offset = camera.position.clone().sub(navigator.orbit.target).setLength(size * 4);
    void navigator.fly(middle.clone().add(offset), middle);
  }

  /** The loaded points in a narrow strip, or where the mesh is cut. */
  #profile(row: Measurement): Profile | null {
    const [a, b] = row.points.map((point) => new Vector3(...point));
    if (!a || !b) return null;
    const strip = new Strip(a, b);
    const points: ProfilePoint[] = [];
    const { surface, cloud, layer } = this.#scene;
    if (layer === "mesh" && surface) {
      surface.eachTriangle((...corners) => points.push(...crossing(strip, corners)));
      return { length: strip.length, points, isMesh: true };
    }
    const half = strip.length * HALF_STRIP;
    for (const { center, radius, position } of cloud?.loaded() ?? []) {
      if (Math.abs(strip.aside(center.x, center.y)) > radius + half) continue;
      for (let i = 0; i < position.length; i += 3) {
        const [x, y] = [position[i]! + center.x, position[i + 1]! + center.y];
        const along = strip.along(x, y);
        if (along < 0 || along > strip.length || Math.abs(strip.aside(x, y)) > half) continue;
        points.push({ along, z: position[i + 2]! + center.z });
      }
    }
    return { length: strip.length, points, isMesh: false };
  }
}
