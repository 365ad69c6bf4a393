// What the tools measure, of points in the world.
import { Vector3 } from "three";
import type { MeasureKind } from "../types";

export const LEAST: Record<MeasureKind, number> = { distance: 2, height: 2, area: 3, profile: 2 };
export const MOST: Record<MeasureKind, number> = { distance: 2, height: 2, area: 500, profile: 2 };
export const KIND_NAMES: Record<MeasureKind, string> = { distance: "Distance", height: "Height difference", area: "Area", profile: "Profile" };

/** Length, signed height from the first to the second, area, or length in plan of a profile. */
export function measure(kind: MeasureKind, points: readonly Vector3[]): number {
  const [a = new Vector3(), b = a] = points;
  if (kind === "distance") return a.distanceTo(b);
  if (kind === "height") return b.z - a.z;
  if (kind === "profile") return Math.hypot(b.x - a.x, b.y - a.y);
  return newell(points).length() / 2;
}

/** Newell's normal: half its length is the area of the polygon in the plane that fits it. */
function newell(points: readonly Vector3[]): Vector3 {
  const sum = new Vector3();
  const first = points[0] ?? new Vector3();
  points.forEach((point, i) => {
    const next = points[(i + 1) % points.length] ?? first;
    sum.add(point.clone().sub(first).cross(next.clone().sub(first)));
  });
  return sum;
}

export interface ProfilePoint {
  /** Along the line in plan, and up [world]. */
  readonly along: number;
  readonly z: number;
}

/** The strip in plan between two points; says how far along and how far aside a place is. */
export class Strip {
  readonly length: number;
  readonly #a: Vector3;
  readonly #along: Vector3;

  constructor(a: Vector3, b: Vector3) {
    this.#a = a;
    this.#along = new Vector3(b.x - a.x, b.y - a.y, 0);
    this.length = this.#along.length();
    this.#along.divideScalar(this.length || 1);
  }

  along(x: number, y: number): number {
    return (x - this.#a.x) * this.#along.x + (y - this.#a.y) * this.#along.y;
  }

  aside(x: number, y: number): number {
    return (y - this.#a.y) * this.#along.x - (x - this.#a.x) * this.#along.y;
  }
}

/** Where a triangle crosses the upright plane through a strip, no further than its ends: none, or two points of the profile. */
export function crossing(strip: Strip, corners: readonly Vector3[]): ProfilePoint[] {
  const found: ProfilePoint[] = [];
  corners.forEach((a, i) => {
    const b = corners[(i + 1) % 3] ?? a;
    const [from, to] = [strip.aside(a.x, a.y), strip.aside(b.x, b.y)];
    if (from < 0 === to < 0) return;
    const share = from / (from - to);
    found.push({ along: strip.along(a.x, a.y) * (1 - share) + strip.along(b.x, b.y) * share, z: a.z * (1 - share) + b.z * share });
  });
  const [a, b] = found.sort((one, other) => one.along - other.along);
  if (!a || !b || a.along > strip.length || b.along < 0) return [];
  const at = (along: number): ProfilePoint => ({ along, z: a.z + ((b.z - a.z) * (along - a.along)) / (b.along - a.along || 1) });
  return [a.along < 0 ? at(0) : a, b.along > strip.length ? at(strip.length) : b];
}
