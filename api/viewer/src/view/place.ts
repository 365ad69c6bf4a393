// Frame, unit and scale of the model, and how lengths are written.
import { Box3, Vector3 } from "three";
import type { Files } from "./files";

export interface WorldFromLaz {
  readonly origin: readonly number[];
  readonly linear: readonly (readonly number[])[];
  readonly quadratic: readonly (readonly number[])[];
}

export interface Place {
  /** Null while it is not known: the job still runs. */
  readonly metric: boolean | null;
  readonly unit: string;
  /** Whether x is east and y north. */
  readonly isEastNorth: boolean;
  readonly worldFromLaz: WorldFromLaz | null;
  /** About what was captured, without what is far behind it. */
  readonly subject: Box3 | null;
}

const UNKNOWN: Place = { metric: null, unit: "units", isEastNorth: false, worldFromLaz: null, subject: null };

interface Told {
  metric?: boolean;
  frame?: string;
  world_from_laz?: WorldFromLaz | null;
  subject?: [number[], number[]];
}

export async function readPlace(files: Files): Promise<Place> {
  if (!files.has("products.json")) return UNKNOWN;
  const told = await files.json<Told>("products.json");
  const metric = told.metric === true;
  return {
    metric,
    unit: metric ? "m" : "units",
    isEastNorth: told.frame === "enu",
    worldFromLaz: told.world_from_laz ?? null,
    subject: told.subject ? new Box3(...(told.subject.map((corner) => new Vector3(...corner)) as [Vector3, Vector3])) : null,
  };
}

/** With four significant digits, and no more than a tenth of a millimetre. */
export function number(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: size >= 10000 });
}

export function length(value: number, unit: string): string {
  return `${number(value)} ${unit}`;
}

export function area(value: number, unit: string): string {
  return `${number(value)} ${unit === "m" ? "m²" : `${unit}²`}`;
}
