// Measuring with the pointer: clicks on the model become points, points become a measurement.
import type { Vector3 } from "three";
import type { MeasureKind } from "../types";
import { LEAST, measure, MOST } from "./geometry";

const CLICK_PX = 5;
const CLOSE_PX = 12;
const DOUBLE_MS = 350;

export interface Open {
  readonly kind: MeasureKind;
  readonly points: readonly Vector3[];
  /** Where the pointer is on the model. */
  readonly hover: Vector3 | null;
}

export class MeasureTool {
  onChange: (open: Open | null) => void = () => undefined;
  onDone: (kind: MeasureKind, points: readonly Vector3[], value: number) => void = () => undefined;
  onMiss: () => void = () => undefined;
  readonly #canvas: HTMLElement;
  readonly #pick: (x: number, y: number) => Vector3 | null;
  readonly #project: (point: Vector3) => [number, number] | null;
  readonly #end = new AbortController();
  #kind: MeasureKind | null = null;
  #points: Vector3[] = [];
  #hover: Vector3 | null = null;
  #down: { x: number; y: number } | null = null;
  #last = { x: 0, y: 0, at: -Infinity };
  #pending = 0;
  #rest = 0;

  constructor(canvas: HTMLElement, pick: (x: number, y: number) => Vector3 | null, project: (point: Vector3) => [number, number] | null) {
    this.#canvas = canvas;
    this.#pick = pick;
    this.#project = project;
    const options = { signal: this.#end.signal };
    canvas.addEventListener("pointerdown", (event) => (this.#down = event.isPrimary ? { x: event.clientX, y: event.clientY } : null), options);
    canvas.addEventListener("pointerup", (event) => this.#up(event), options);
    canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && !event.buttons && this.#move(event), options);
    canvas.addEventListener("pointerleave", () => this.#setHover(null), options);
    canvas.addEventListener("dblclick", () => this.finish(), options);
    canvas.addEventListener("keydown", (event) => this.#key(event), options);
  }

  get kind(): MeasureKind | null {
    return this.#kind;
  }

  begin(kind: MeasureKind): void {
    this.#kind = kind;
    this.#points = [];
    this.#tell();
  }

  /** Ends the tool; what was begun is dropped. */
  stop(): void {
    this.#kind = null;
    this.#points = [];
    this.#hover = null;
    this.#tell();
  }

  /** Adds a point as if it had been clicked. */
  add(point: Vector3): void {
    const kind = this.#kind;
    if (!kind) return;
    this.#points.push(point);
    if (this.#points.length >= MOST[kind]) this.finish();
    else this.#tell();
  }

  finish(): void {
    const kind = this.#kind;
    if (!kind || this.#points.length < LEAST[kind]) return;
    const points = this.#points;
    this.#points = [];
    this.#tell();
    this.onDone(kind, points, measure(kind, points));
  }

  dispose(): void {
    this.#end.abort();
    cancelAnimationFrame(this.#pending);
  }

  #up(event: PointerEvent): void {
    const down = this.#down;
    this.#down = null;
    if (!this.#kind || !down || event.button !== 0 || Math.hypot(event.clientX - down.x, event.clientY - down.y) > CLICK_PX) return;
    if (this.#isSecond(event)) return;
    if (this.#closes(event.clientX, event.clientY)) return this.finish();
    const point = this.#pick(event.clientX, event.clientY);
    if (point) this.add(point);
    else this.onMiss();
  }

  /** The second half of a double click, which ends an area, is no corner. */
  #isSecond(event: PointerEvent): boolean {
    const { x, y, at } = this.#last;
    this.#last = { x: event.clientX, y: event.clientY, at: event.timeStamp };
    return event.timeStamp - at < DOUBLE_MS && Math.hypot(event.clientX - x, event.clientY - y) < CLICK_PX;
  }

  /** A click on the first corner ends an area. */
  #closes(x: number, y: number): boolean {
    const first = this.#points[0];
    const where = this.#kind === "area" && first && this.#points.length >= LEAST.area ? this.#project(first) : null;
    return where !== null && Math.hypot(where[0] - x, where[1] - y) < CLOSE_PX;
  }

  #move(event: PointerEvent): void {
    if (!this.#kind) return;
    const { clientX, clientY } = event;
    cancelAnimationFrame(this.#pending);
    this.#pending = requestAnimationFrame((now) => {
      if (now < this.#rest) return;
      this.#setHover(this.#pick(clientX, clientY));
      this.#rest = performance.now() + 3 * (performance.now() - now); // large meshes take their time
    });
  }

  #setHover(point: Vector3 | null): void {
    if (!this.#kind) return;
    this.#hover = point;
    this.#tell();
  }

  #key(event: KeyboardEvent): void {
    if (!this.#kind) return;
    if (event.key === "Enter") {
      if (this.#kind === "area" && this.#points.length >= LEAST.area) this.finish();
      else this.#centre();
    } else if (event.key === "Backspace") {
      this.#points.pop();
      this.#tell();
    } else return;
    event.preventDefault();
  }

  /** Without a pointer: the point in the middle of the view. */
  #centre(): void {
    const area = this.#canvas.getBoundingClientRect();
    const point = this.#pick(area.left + area.width / 2, area.top + area.height / 2);
    if (point) this.add(point);
    else this.onMiss();
  }

  #tell(): void {
    this.onChange(this.#kind && { kind: this.#kind, points: this.#points, hover: this.#hover });
  }
}
