// A cloud on the screen: which nodes are fetched and drawn, how large their points are, and which point is under the pointer.
import { BufferAttribute, BufferGeometry, Frustum, GLSL3, Group, Matrix4, type PerspectiveCamera, Points, ShaderMaterial, Sphere, Vector3 } from "three";
import type { Cloud, CloudNode } from "./clouds";
import { LOOK_GLSL, type Look } from "./colours";

const AT_ONCE = 4;
/** A node is refined while its points stand further apart on the screen than that. */
const FINE_PX = 1.3;
const POINT_BYTES = 20;

interface Shown {
  readonly node: CloudNode;
  points: Points | null;
  state: "absent" | "loading" | "there" | "lost";
  seen: number;
}

export interface Drawn {
  /** Points that are drawn now, and that would be if all had arrived and the budget allowed. */
  readonly points: number;
  readonly isComplete: boolean;
}

export function materialOfPoints(look: Look): ShaderMaterial {
  return new ShaderMaterial({
    glslVersion: GLSL3,
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    uniforms: { ...look, uSpacing: { value: 1 }, uFocal: { value: 1 }, uSize: { value: 1 }, uLimits: { value: [1, 24] } },
  });
}

export class PointCloud {
  readonly group = new Group();
  readonly cloud: Cloud;
  /** Relative to the spacing of what is shown. */
  size = 1;
  /** Points kept in memory. */
  cache = Infinity;
  onChange: () => void = () => undefined;
  onLost: (reason: Error) => void = () => undefined;
  readonly #material: ShaderMaterial;
  readonly #all = new Map<CloudNode, Shown>();
  readonly #frustum = new Frustum();
  readonly #matrix = new Matrix4();
  #loading = 0;
  #kept = 0;
  #frame = 0;
  #disposed = false;

  constructor(cloud: Cloud, look: Look) {
    this.cloud = cloud;
    this.#material = materialOfPoints(look);
  }

  /** Fetches the first node, so that there is something to look at. */
  async begin(): Promise<void> {
    if (this.cloud.root) await this.#load(this.#shown(this.cloud.root));
  }

  /** Choose what is drawn for this camera, most telling nodes first, and ask for what is missing. */
  update(camera: PerspectiveCamera, heightPx: number, pixelRatio: number, budget: number): Drawn {
    this.#frame++;
    this.group.children.forEach((child) => (child.visible = false));
    if (!this.cloud.root) return { points: 0, isComplete: true };
    const focalPx = heightPx / 2 / Math.tan((camera.fov * Math.PI) / 360);
    this.#frustum.setFromProjectionMatrix(this.#matrix.multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse));
    const open: { shown: Shown; px: number }[] = [];
    const offer = (node: CloudNode): void => {
      if (!this.#frustum.intersectsSphere(new Sphere(node.center, node.radius))) return;
      const distance = Math.max(node.center.distanceTo(camera.position) - node.radius, camera.near);
      const px = ((this.cloud.spacing / 2 ** node.level) * focalPx) / distance;
      open.push({ shown: this.#shown(node), px });
    };
    offer(this.cloud.root);
    const wanted: Shown[] = [];
    const drawn = new Map<CloudNode, number>();
    let [points, isComplete] = [0, true];
    while (open.length && points < budget) {
      const next = open.reduce((best, row, at) => (row.px > (open[best]?.px ?? 0) ? at : best), 0);
      const [{ shown, px }] = open.splice(next, 1) as [{ shown: Shown; px: number }];
      shown.seen = this.#frame;
      if (shown.state === "absent") wanted.push(shown);
      if (shown.state === "absent" || shown.state === "loading") isComplete = false;
      if (!shown.points) continue;
      const count = Math.ceil(Math.min(shown.node.count, budget - points));
      drawn.set(shown.node, count);
      points += count;
      if (px > FINE_PX) shown.node.children.forEach(offer);
    }
    drawn.forEach((count, node) => this.#show(node, count, drawn, focalPx * pixelRatio, pixelRatio));
    wanted.slice(0, Math.max(0, AT_ONCE - this.#loading)).forEach((shown) => void this.#load(shown));
    this.#forget();
    return { points, isComplete: isComplete && !open.length };
  }

  /** Bytes of points in memory, once for us and once for the GPU. */
  get bytes(): number {
    return 2 * POINT_BYTES * this.#kept;
  }

  /** Positions (N, 3) in the world of points that are loaded, node by node, finest last; deeper nodes add to those above. */
  *loaded(): Generator<{ readonly center: Vector3; readonly radius: number; readonly position: Float32Array; readonly isDrawn: boolean; readonly count: number }> {
    for (const { node, points } of this.#all.values()) {
      if (!points) continue;
      const position = points.geometry.getAttribute("position").array as Float32Array;
      const isDrawn = points.visible;
      yield { center: node.center, radius: node.radius, position, isDrawn, count: isDrawn ? points.geometry.drawRange.count : position.length / 3 };
    }
  }

  dispose(): void {
    this.#disposed = true;
    this.#all.forEach((shown) => shown.points?.geometry.dispose());
    this.#all.clear();
    this.#material.dispose();
    this.group.removeFromParent();
    this.cloud.dispose();
  }

  #shown(node: CloudNode): Shown {
    let shown = this.#all.get(node);
    if (!shown) {
      shown = { node, points: null, state: "absent", seen: this.#frame };
      this.#all.set(node, shown);
    }
    return shown;
  }

  #show(node: CloudNode, count: number, drawn: ReadonlyMap<CloudNode, number>, focal: number, pixelRatio: number): void {
    const points = this.#all.get(node)?.points;
    if (!points) return;
    points.visible = true;
    points.geometry.setDrawRange(0, count);
    // where all children are drawn as well, points stand as close as theirs; where one is missing there must be no gap
    const finer = node.children.length ? Math.min(...node.children.map((child) => (drawn.get(child) ?? 0) / child.count)) : 0;
    const spacing = ((this.cloud.spacing / 2 ** node.level) * (1 - 0.5 * finer)) / Math.sqrt(count / node.count);
    points.onBeforeRender = () => {
      const uniforms = this.#material.uniforms;
      uniforms.uSpacing!.value = spacing;
      uniforms.uFocal!.value = focal;
      uniforms.uSize!.value = this.size;
      uniforms.uLimits!.value = [1.4 * pixelRatio, 22 * pixelRatio];
      this.#material.uniformsNeedUpdate = true;
    };
  }

  async #load(shown: Shown): Promise<void> {
    shown.state = "loading";
    this.#loading++;
    try {
      const found = await shown.node.load();
      if (this.#disposed) return;
      const geometry = new BufferGeometry();
      geometry.setAttribute("position", new BufferAttribute(found.position, 3));
      geometry.setAttribute("tint", new BufferAttribute(found.tint, 4, true));
      geometry.setAttribute("facing", new BufferAttribute(found.facing, 4, true));
      geometry.boundingSphere = new Sphere(new Vector3(), shown.node.radius);
      shown.points = new Points(geometry, this.#material);
      shown.points.position.copy(shown.node.center);
      shown.points.visible = false;
      shown.points.frustumCulled = false; // update() has done it
      shown.state = "there";
      this.#kept += shown.node.count;
      this.group.add(shown.points);
    } catch (error) {
      shown.state = "lost"; // the coarser points stay
      if (!this.#disposed) this.onLost(error as Error);
    } finally {
      this.#loading--;
    }
    if (!this.#disposed) this.onChange();
  }

  /** Lets go of what has not been seen for longest, beyond what may be kept. */
  #forget(): void {
    if (this.#kept <= this.cache) return;
    const old = [...this.#all.values()].filter((shown) => shown.points && shown.seen < this.#frame);
    old.sort((a, b) => a.seen - b.seen || b.node.level - a.node.level);
    for (const shown of old) {
      if (this.#kept <= this.cache * 0.9) break;
      shown.points?.geometry.dispose();
      shown.points?.removeFromParent();
      shown.points = null;
      shown.state = "absent";
      this.#kept -= shown.node.count;
    }
  }
}

const VERTEX = /* glsl */ `
in vec4 tint;
in vec4 facing;
out vec3 vColour;
uniform float uSpacing, uFocal, uSize;
uniform vec2 uLimits;
${LOOK_GLSL}
void main() {
  vec4 world = modelMatrix * vec4(position, 1.0);
  vec4 eye = viewMatrix * world;
  gl_Position = projectionMatrix * eye;
  // coarse points lie a little behind: they fill gaps between finer ones and do not cover them
  vec4 behind = projectionMatrix * vec4(eye.xy, eye.z - 0.5 * uSpacing, 1.0);
  gl_Position.z = behind.z / behind.w * gl_Position.w;
  gl_PointSize = clamp(1.2 * uSize * uSpacing * uFocal / max(-eye.z, 1e-9), uLimits.x, uLimits.y);
  float light = uMode == 5 && dot(facing.xyz, facing.xyz) > 0.1 ? 0.35 + 0.65 * abs(normalize(mat3(viewMatrix) * facing.xyz).z) : 1.0;
  vColour = light * coloured(tint.rgb, world.xyz, facing.xyz, facing.w, tint.a * 255.0);
  if (isCut(world.xyz)) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}
`;

const FRAGMENT = /* glsl */ `
in vec3 vColour;
out vec4 pixel;
void main() {
  vec2 from = gl_PointCoord - 0.5;
  if (dot(from, from) > 0.25) discard;
  pixel = vec4(vColour, 1.0);
}
`;
