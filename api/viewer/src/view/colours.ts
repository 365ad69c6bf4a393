// How points and surfaces are coloured, the same in both: GLSL, and the ramp that the legend shows as well.
import { Color, Vector2, Vector3 } from "three";

export const MODES = ["photo", "height", "normal", "confidence", "views", "shape"] as const;
export type Mode = (typeof MODES)[number];

export const MODE_NAMES: Record<Mode, string> = {
  photo: "Photo",
  height: "Height",
  normal: "Normal",
  confidence: "Confidence",
  views: "Number of views",
  shape: "Shape only",
};

/** Viridis: even in lightness, and told apart by people who see few colours (matplotlib, CC0). */
const STOPS = ["#440154", "#443a83", "#31688e", "#20908d", "#35b779", "#8fd744", "#fde725"];

/** What points and surfaces share; values are changed in place. */
export interface Look {
  readonly uMode: { value: number };
  readonly uHeight: { value: Vector2 };
  readonly uMostViews: { value: number };
  readonly uClipOn: { value: boolean };
  readonly uClipLow: { value: Vector3 };
  readonly uClipHigh: { value: Vector3 };
  readonly uRamp: { value: Vector3[] };
}

export function newLook(): Look {
  const ramp = STOPS.map((stop) => new Color(stop)).map(({ r, g, b }) => new Vector3(r, g, b));
  return {
    uMode: { value: 0 },
    uHeight: { value: new Vector2(0, 1) },
    uMostViews: { value: 10 },
    uClipOn: { value: false },
    uClipLow: { value: new Vector3() },
    uClipHigh: { value: new Vector3() },
    uRamp: { value: ramp },
  };
}

export const LEGEND = `linear-gradient(to right, ${STOPS.join(", ")})`;

export const LOOK_GLSL = /* glsl */ `
uniform int uMode;
uniform vec2 uHeight;
uniform float uMostViews;
uniform bool uClipOn;
uniform vec3 uClipLow;
uniform vec3 uClipHigh;
uniform vec3 uRamp[${STOPS.length}];

vec3 ramp(float share) {
  float at = clamp(share, 0.0, 1.0) * ${(STOPS.length - 1).toFixed(1)};
  int below = int(min(at, ${(STOPS.length - 2).toFixed(1)}));
  return mix(uRamp[below], uRamp[below + 1], at - float(below));
}

bool isCut(vec3 world) {
  return uClipOn && (any(lessThan(world, uClipLow)) || any(greaterThan(world, uClipHigh)));
}

vec3 coloured(vec3 photo, vec3 world, vec3 normal, float confidence, float views) {
  if (uMode == 1) return ramp((world.z - uHeight.x) / max(uHeight.y - uHeight.x, 1e-9));
  if (uMode == 2) return 0.5 + 0.5 * normal;
  if (uMode == 3) return ramp(confidence);
  if (uMode == 4) return ramp((views - 2.0) / max(uMostViews - 2.0, 1.0));
  if (uMode == 5) return vec3(0.78, 0.79, 0.81);
  return photo;
}
`;
