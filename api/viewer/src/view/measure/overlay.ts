// Measurements drawn over the canvas, as SVG: lines, ends and labels.
import { type PerspectiveCamera, Vector3 } from "three";
import { svg } from "../dom";
import type { MeasureKind } from "../types";

const LETTER_PX = 7.5;
const LINE_PX = 18;

export interface Drawing {
  readonly kind: MeasureKind;
  readonly points: readonly Vector3[];
  readonly label: string;
  readonly isOpen: boolean;
  readonly isChosen: boolean;
}

type Spot = { readonly x: number; readonly y: number };

export class Overlay {
  readonly element = svg("svg", { class: "v-overlay", "aria-hidden": "true" });
  #drawings: readonly Drawing[] = [];

  set(drawings: readonly Drawing[]): void {
    this.#drawings = drawings;
  }

  draw(camera: PerspectiveCamera, width: number, height: number): void {
    const parts: Node[] = [];
    const labels = new Labels();
    const first = [...this.#drawings].sort((a, b) => Number(b.isChosen) - Number(a.isChosen)); // their labels take precedence
    for (const drawing of first) {
      const spots = outline(drawing).map((point) => spot(point, camera, width, height));
      if (spots.some((found) => !found)) continue; // partly behind the eye
      parts.unshift(shape(drawing, spots as Spot[], labels));
    }
    this.element.replaceChildren(...parts);
  }
}

/** Where labels stand: one that would lie over another is left out. */
class Labels {
  readonly #taken: { readonly x: number; readonly y: number; readonly half: number }[] = [];

  fits(label: string, { x, y }: Spot): boolean {
    const half = (label.length * LETTER_PX) / 2;
    if (this.#taken.some((other) => Math.abs(other.x - x) < other.half + half && Math.abs(other.y - y) < LINE_PX)) return false;
    this.#taken.push({ x, y, half });
    return true;
  }
}

/** The ends, and for a height the corner below or above the first. */
function outline({ kind, points }: Drawing): Vector3[] {
  const [a, b] = points;
  return kind === "height" && a && b ? [a, new Vector3(a.x, a.y, b.z), b] : [...points];
}

function shape(drawing: Drawing, spots: Spot[], labels: Labels): Node {
  const path = spots.map(({ x, y }, i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const isArea = drawing.kind === "area" && spots.length > 2;
  const middle = drawing.kind === "height" && spots.length === 3 ? mean(spots.slice(0, 2)) : mean(spots);
  const ends = drawing.kind === "height" && spots.length === 3 ? [spots[0]!, spots[2]!] : spots;
  return svg(
    "g",
    { class: `v-drawing${drawing.isChosen ? " v-chosen" : ""}${drawing.isOpen ? " v-open" : ""}` },
    svg("path", { class: "v-halo", d: path + (isArea ? "Z" : "") }),
    svg("path", { class: isArea ? "v-line v-fill" : "v-line", d: path + (isArea ? "Z" : "") }),
    ...ends.map(({ x, y }) => svg("circle", { class: "v-end", cx: x, cy: y, r: 4 })),
    drawing.label && spots.length > 1 && labels.fits(drawing.label, middle) ? svg("text", { class: "v-label", x: middle.x, y: middle.y - 9, "text-anchor": "middle" }, drawing.label) : null,
  );
}

function mean(spots: Spot[]): Spot {
  const sum = spots.reduce((all, { x, y }) => ({ x: all.x + x, y: all.y + y }), { x: 0, y: 0 });
  return { x: sum.x / spots.length, y: sum.y / spots.length };
}

/** Where a point is on the canvas [px]; null behind the eye. */
export function spot(point: Vector3, camera: PerspectiveCamera, width: number, height: number): Spot | null {
  const eye = point.clone().applyMatrix4(camera.matrixWorldInverse);
  if (eye.z > -camera.near) return null;
  eye.applyMatrix4(camera.projectionMatrix);
  return { x: ((eye.x + 1) / 2) * width, y: ((1 - eye.y) / 2) * height };
}
