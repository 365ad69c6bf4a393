// A profile drawn as a small plot: heights along the line.
import { el, svg } from "../dom";
import { number } from "../place";
import type { ProfilePoint } from "./geometry";

const [WIDTH, HEIGHT] = [320, 150];
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 8, 8, 22];
const MOST_DOTS = 3000;

export interface Profile {
  readonly length: number;
  /** Points of a cloud, or pairs of ends where a mesh is cut. */
  readonly points: readonly ProfilePoint[];
  readonly isMesh: boolean;
}

export function plot(profile: Profile, unit: string): HTMLElement {
  const { points, length } = profile;
  if (!points.length) return el("p", { class: "v-note" }, "Nothing that is loaded lies along this line.");
  const zs = points.map((point) => point.z).sort((a, b) => a - b);
  const [low, high] = [zs[Math.floor(zs.length * 0.005)] ?? 0, zs[Math.ceil(zs.length * 0.995) - 1] ?? 0];
  const margin = Math.max((high - low) * 0.08, length * 0.02, 1e-9);
  const [bottom, top] = [low - margin, high + margin];
  const x = (along: number): number => LEFT + (along / length) * (WIDTH - LEFT - RIGHT);
  const y = (z: number): number => HEIGHT - BOTTOM - ((z - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
  const marks = [];
  for (const z of ticks(bottom, top, 4)) {
    marks.push(svg("line", { class: "v-grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(z), y2: y(z) }), svg("text", { x: LEFT - 5, y: y(z) + 3.5, "text-anchor": "end" }, short(z, bottom, top)));
  }
  for (const along of ticks(0, length, 5)) {
    marks.push(svg("line", { class: "v-grid", x1: x(along), x2: x(along), y1: TOP, y2: HEIGHT - BOTTOM }), svg("text", { x: x(along), y: HEIGHT - 7, "text-anchor": "middle" }, short(along, 0, length)));
  }
  const picture = svg(
    "svg",
    { class: "v-plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Profile over ${number(length)} ${unit}, heights from ${number(low)} to ${number(high)} ${unit}` },
    svg("g", {}, ...marks),
    svg("path", { class: profile.isMesh ? "v-cut" : "v-dots", d: profile.isMesh ? lines(points, x, y) : dots(points, x, y, bottom, top) }),
  );
  return el("figure", { class: "v-profile" }, picture, el("figcaption", {}, `Height over distance, in ${unit}`));
}

function lines(points: readonly ProfilePoint[], x: (along: number) => number, y: (z: number) => number): string {
  return points.map(({ along, z }, i) => `${i % 2 ? "L" : "M"}${x(along).toFixed(1)} ${y(z).toFixed(1)}`).join("");
}

function dots(points: readonly ProfilePoint[], x: (along: number) => number, y: (z: number) => number, bottom: number, top: number): string {
  const every = Math.ceil(points.length / MOST_DOTS);
  const some = points.filter(({ z }, i) => i % every === 0 && z >= bottom && z <= top);
  return some.map(({ along, z }) => `M${x(along).toFixed(1)} ${y(z).toFixed(1)}h.01`).join("");
}

/** Round numbers between two others, about so many. */
export function ticks(low: number, high: number, about: number): number[] {
  const step = niceBelow((high - low) / about);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n++) found.push(n * step);
  return found;
}

/** The largest of 1, 2, 5 times a power of ten that is no larger. */
export function niceBelow(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-12)));
  return power * ([5, 2, 1].find((digit) => digit * power <= value) ?? 1);
}

function short(value: number, low: number, high: number): string {
  const digits = Math.max(0, Math.min(4, Math.ceil(-Math.log10((high - low) / 5))));
  return value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1");
}
