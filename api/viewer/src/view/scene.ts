// The canvas: what is in the scene, when it is drawn, and what lies under the pointer.
import { Box3, Box3Helper, BufferGeometry, Color, ColorManagement, type LineBasicMaterial, LinearSRGBColorSpace, Matrix4, PerspectiveCamera, Points, Raycaster, Scene as Stage, Vector2, Vector3, WebGLRenderer } from "three";
import { Budget } from "./budget";
import { type Look, MODES, type Mode, newLook } from "./colours";
import { spot } from "./measure/overlay";
import type { Surface } from "./mesh";
import { Navigator } from "./navigate";
import { type PointCloud, materialOfPoints } from "./pointcloud";
import { EyeDome } from "./shading";

ColorManagement.enabled = false; // photos and points hold sRGB and are shown as they are

export const FOV_DEG = 50;
const STILL_MS = 200;
const PICK_PX = 8;
const isPhone = matchMedia("(pointer: coarse)").matches;

export type Layer = "points" | "mesh";

export class Scene {
  readonly canvas: HTMLCanvasElement;
  readonly camera = new PerspectiveCamera(FOV_DEG, 1, 0.1, 1000);
  readonly navigator: Navigator;
  readonly look: Look = newLook();
  readonly budget = new Budget(isPhone ? 1_000_000 : 3_000_000, isPhone ? 200_000 : 400_000);
  /** Points kept in memory. */
  readonly cache = isPhone ? 1_500_000 : 4_000_000;
  readonly stage = new Stage();
  readonly center = new Vector3();
  radius = 1;
  layer: Layer = "points";
  shading = true;
  cloud: PointCloud | null = null;
  surface: Surface | null = null;
  /** Before each frame, and after it. */
  onDraw: () => void = () => undefined;
  onDrawn: () => void = () => undefined;
  drawnPoints = 0;
  isComplete = false;
  readonly renderer: WebGLRenderer;
  readonly #eyeDome = new EyeDome();
  readonly #pointMaterial = materialOfPoints(this.look);
  readonly #clip = new Box3();
  readonly #clipLines = new Box3Helper(this.#clip, 0xff8a1f);
  readonly #watch: ResizeObserver;
  readonly #box: HTMLElement;
  readonly #size = new Vector2(1, 1);
  #resolution = 0;
  #pending = 0;
  #lastMove = -Infinity;
  #isLost = false;

  constructor(box: HTMLElement, canvas: HTMLCanvasElement, context: WebGL2RenderingContext) {
    this.#box = box;
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, context });
    this.renderer.outputColorSpace = LinearSRGBColorSpace;
    this.camera.up.set(0, 0, 1);
    this.navigator = new Navigator(this.camera, canvas);
    this.navigator.onMove = () => {
      this.#lastMove = performance.now();
      this.redraw();
    };
    this.#clipLines.visible = false;
    this.stage.add(this.camera, this.#clipLines);
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // asks for it back
      this.#isLost = true;
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.#isLost = false;
      this.redraw();
    });
    // graphics drivers take long over a program: they may begin while the first points are fetched
    this.#eyeDome.prepare(this.renderer, this.camera, new Points(new BufferGeometry(), this.#pointMaterial));
    this.#watch = new ResizeObserver(() => this.#resize());
    this.#watch.observe(box);
    this.#resize();
  }

  set mode(mode: Mode) {
    this.look.uMode.value = MODES.indexOf(mode);
    this.redraw();
  }

  set background(colour: string) {
    this.stage.background = new Color(colour);
    this.redraw();
  }

  get extent(): number {
    return 2 * this.radius;
  }

  /** The part that is shown: low and high corner in the world, or all of it. */
  clip(box: Box3 | null): void {
    this.look.uClipOn.value = this.#clipLines.visible = box !== null;
    if (box) {
      this.#clip.copy(box);
      this.look.uClipLow.value.copy(box.min);
      this.look.uClipHigh.value.copy(box.max);
    }
    this.redraw();
  }

  /** Where the model is and how large, without its stragglers. */
  frame(center: Vector3, radius: number, low: number, high: number): void {
    this.center.copy(center);
    this.radius = Math.max(radius, 1e-6);
    this.navigator.extent = this.extent;
    this.look.uHeight.value.set(low, high);
  }

  redraw(): void {
    if (!this.#pending) this.#pending = requestAnimationFrame((now) => this.#draw(now));
  }

  /** Client pixels of a point of the world; null behind the eye. */
  project(point: Vector3): [number, number] | null {
    this.camera.updateMatrixWorld();
    const area = this.canvas.getBoundingClientRect();
    const found = spot(point, this.camera, area.width, area.height);
    return found && [area.left + found.x, area.top + found.y];
  }

  /** The point of the cloud or the surface at a place of the screen [client px]. */
  pick(clientX: number, clientY: number): Vector3 | null {
    const area = this.canvas.getBoundingClientRect();
    const [x, y] = [clientX - area.left, clientY - area.top];
    this.camera.updateMatrixWorld();
    if (this.layer === "mesh" && this.surface) {
      const ray = new Raycaster();
      ray.setFromCamera(new Vector2((x / area.width) * 2 - 1, 1 - (y / area.height) * 2), this.camera);
      return this.surface.pick(ray, (point) => this.#isCut(point));
    }
    return this.cloud ? this.#pickPoint(x, y, area.width, area.height) : null;
  }

  dispose(): void {
    cancelAnimationFrame(this.#pending);
    this.#pending = -1;
    this.#watch.disconnect();
    this.navigator.dispose();
    this.#eyeDome.dispose();
    this.#pointMaterial.dispose();
    this.#clipLines.geometry.dispose();
    (this.#clipLines.material as LineBasicMaterial).dispose();
    this.cloud?.dispose();
    this.surface?.dispose();
    this.renderer.dispose();
    this.renderer.forceContextLoss();
  }

  #isCut(point: Vector3): boolean {
    return this.look.uClipOn.value && !this.#clip.containsPoint(point);
  }

  #resize(): void {
    const [width, height] = [Math.max(1, this.#box.clientWidth), Math.max(1, this.#box.clientHeight)];
    this.#resolution = 0; // set by the next frame
    this.#size.set(width, height);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.redraw();
  }

  #draw(now: number): void {
    if (this.#pending === -1) return;
    this.#pending = 0;
    if (this.#isLost) return;
    const isUnderWay = this.navigator.frame(now);
    if (isUnderWay) this.#lastMove = now;
    this.onDraw();
    const isMoving = now - this.#lastMove < STILL_MS;
    this.#range();
    this.budget.frame(now, isMoving && this.layer === "points", this.drawnPoints);
    this.#sharpen(isMoving && this.layer === "points" ? this.budget.resolution : 1);
    const { cloud, surface, layer } = this;
    if (cloud) cloud.group.visible = layer === "points";
    if (surface) surface.group.visible = layer === "mesh";
    this.drawnPoints = 0;
    this.isComplete = true;
    if (cloud && layer === "points") {
      const budget = isMoving ? this.budget.moving : this.budget.resting;
      const drawn = cloud.update(this.camera, this.canvas.clientHeight, this.renderer.getPixelRatio(), budget);
      [this.drawnPoints, this.isComplete] = [drawn.points, drawn.isComplete];
    }
    const hasEyeDome = this.shading && layer === "points" && !(isMoving && this.budget.frameMs > 70);
    const draw = (): void => this.renderer.render(this.stage, this.camera);
    if (hasEyeDome) this.#eyeDome.render(this.renderer, this.camera, draw);
    else draw();
    this.onDrawn();
    if (isMoving) this.redraw(); // until it rests, and then once more with all
  }

  /** Draw at this share of the screen's resolution. */
  #sharpen(resolution: number): void {
    if (resolution === this.#resolution) return;
    this.#resolution = resolution;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio || 1, 2) * resolution);
    this.renderer.setSize(this.#size.x, this.#size.y, false);
  }

  #range(): void {
    const away = this.camera.position.distanceTo(this.center);
    this.camera.far = away + 6 * this.radius;
    const reach = this.camera.position.distanceTo(this.navigator.orbit.target);
    this.camera.near = Math.max(this.camera.far * 1e-5, Math.min(reach * 0.02, this.radius * 0.02));
    this.camera.updateProjectionMatrix();
    this.camera.updateMatrixWorld();
  }

  /** The frontmost points near the pointer, and of those that are about as far the one that is nearest to it. */
  #pickPoint(x: number, y: number, width: number, height: number): Vector3 | null {
    const reach = isPhone ? 2 * PICK_PX : PICK_PX;
    const project = new Matrix4().multiplyMatrices(this.camera.projectionMatrix, this.camera.matrixWorldInverse);
    const found: { point: Vector3; away: number; depth: number }[] = [];
    const matrix = new Matrix4();
    for (const { center, position, isDrawn, count } of this.cloud?.loaded() ?? []) {
      if (!isDrawn) continue;
      matrix.makeTranslation(center).premultiply(project);
      const e = matrix.elements;
      for (let i = 0; i < count * 3; i += 3) {
        const [px, py, pz] = [position[i]!, position[i + 1]!, position[i + 2]!];
        const w = e[3]! * px + e[7]! * py + e[11]! * pz + e[15]!;
        if (w <= 0) continue;
        const dx = ((e[0]! * px + e[4]! * py + e[8]! * pz + e[12]!) / w + 1) * 0.5 * width - x;
        if (dx > reach || dx < -reach) continue;
        const dy = (1 - (e[1]! * px + e[5]! * py + e[9]! * pz + e[13]!) / w) * 0.5 * height - y;
        const away = Math.hypot(dx, dy);
        if (away > reach) continue;
        const point = new Vector3(px, py, pz).add(center);
        if (!this.#isCut(point)) found.push({ point, away, depth: w });
      }
    }
    const front = Math.min(...found.map(({ depth }) => depth));
    const near = found.filter(({ depth }) => depth <= front * 1.02);
    return near.reduce<(typeof near)[number] | null>((best, row) => (best && best.away <= row.away ? best : row), null)?.point ?? null;
  }
}
