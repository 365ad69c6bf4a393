// Moving the eye: orbit (mouse, touch, arrow keys), walk (WASD, drag to look), flights between views.
import { MathUtils, type PerspectiveCamera, Spherical, Vector3 } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const TURN = MathUtils.degToRad(5);
const FLIGHT_MS = 500;
const STRIDES_PER_S = 0.25;
const KEYS: Record<string, readonly [number, number, number]> = {
  KeyW: [0, 0, -1],
  ArrowUp: [0, 0, -1],
  KeyS: [0, 0, 1],
  ArrowDown: [0, 0, 1],
  KeyA: [-1, 0, 0],
  ArrowLeft: [-1, 0, 0],
  KeyD: [1, 0, 0],
  ArrowRight: [1, 0, 0],
  KeyE: [0, 1, 0],
  PageUp: [0, 1, 0],
  KeyQ: [0, -1, 0],
  PageDown: [0, -1, 0],
};

export type Mode = "orbit" | "walk";

interface Flight {
  readonly start: number;
  readonly from: readonly [Vector3, Vector3, number];
  readonly to: readonly [Vector3, Vector3, number];
  readonly arrived: () => void;
}

export class Navigator {
  /** A length that suits the scene. */
  extent = 1;
  onMove: () => void = () => undefined;
  /** The user took hold of the view. */
  onGrab: () => void = () => undefined;
  readonly camera: PerspectiveCamera;
  readonly orbit: OrbitControls;
  readonly #canvas: HTMLElement;
  readonly #end = new AbortController();
  readonly #held = new Set<string>();
  readonly #isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  #mode: Mode = "orbit";
  #flight: Flight | null = null;
  #drag: { id: number; x: number; y: number } | null = null;
  #last = 0;

  constructor(camera: PerspectiveCamera, canvas: HTMLElement) {
    this.camera = camera;
    this.#canvas = canvas;
    this.orbit = new OrbitControls(camera, canvas);
    this.orbit.zoomToCursor = true;
    this.orbit.addEventListener("change", () => this.onMove());
    this.orbit.addEventListener("start", () => {
      this.#flight = null;
      this.onGrab();
    });
    const options = { signal: this.#end.signal };
    canvas.addEventListener("keydown", (event) => this.#key(event), options);
    canvas.addEventListener("keyup", (event) => this.#held.delete(event.code), options);
    canvas.addEventListener("blur", () => this.#held.clear(), options);
    canvas.addEventListener("pointerdown", (event) => this.#down(event), options);
    canvas.addEventListener("pointermove", (event) => this.#look(event), options);
    for (const kind of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(kind, (event) => event.pointerId === this.#drag?.id && (this.#drag = null), options);
    }
  }

  get mode(): Mode {
    return this.#mode;
  }

  set mode(mode: Mode) {
    if (mode === this.#mode) return;
    this.#mode = mode;
    this.#flight = null;
    this.#held.clear();
    this.orbit.enabled = mode === "orbit";
    const ahead = this.camera.getWorldDirection(new Vector3());
    const distance = Math.max(this.camera.position.distanceTo(this.orbit.target), this.extent * 0.05);
    this.orbit.target.copy(this.camera.position).addScaledVector(ahead, distance);
    if (mode === "orbit") this.orbit.update();
    this.onMove();
  }

  /** Buttons on touch screens hold a key down. */
  hold(code: string, isHeld: boolean): void {
    if (isHeld) this.#held.add(code);
    else this.#held.delete(code);
    this.onMove();
  }

  /** Go to a position that looks at a target, at once where people want no motion. Resolves on arrival; never if it is broken off. */
  fly(position: Vector3, target: Vector3, fovDeg = this.camera.fov): Promise<void> {
    const from = [this.camera.position.clone(), this.orbit.target.clone(), this.camera.fov] as const;
    return new Promise((arrived) => {
      this.#flight = { start: performance.now(), from, to: [position.clone(), target.clone(), fovDeg], arrived };
      if (this.#isCalm.matches) this.#fly(Infinity);
      this.onMove();
    });
  }

  /** The same, now. */
  jump(position: Vector3, target: Vector3): void {
    void this.fly(position, target);
    this.#fly(Infinity);
  }

  turn(azimuth: number, polar: number): void {
    const offset = this.camera.position.clone().sub(this.orbit.target);
    const upright = new Vector3(offset.x, offset.z, -offset.y); // Spherical takes y for up
    const around = new Spherical().setFromVector3(upright);
    around.theta += azimuth;
    around.phi = MathUtils.clamp(around.phi + polar, 0.01, Math.PI - 0.01);
    const turned = new Vector3().setFromSpherical(around);
    this.#place(this.orbit.target.clone().add(new Vector3(turned.x, -turned.z, turned.y)), this.orbit.target.clone());
  }

  zoom(factor: number): void {
    const offset = this.camera.position.clone().sub(this.orbit.target).multiplyScalar(factor);
    this.#place(this.orbit.target.clone().add(offset), this.orbit.target.clone());
  }

  /** Goes on with flights and strides; says whether the view is under way. */
  frame(now: number): boolean {
    const seconds = Math.min((now - this.#last) / 1000, 0.1);
    this.#last = now;
    if (this.#flight) {
      this.#fly(now);
      return true;
    }
    if (this.#mode !== "walk" || !this.#held.size) return false;
    const step = new Vector3();
    for (const code of this.#held) step.add(new Vector3(...(KEYS[code] ?? [0, 0, 0])));
    const up = step.y;
    step.setY(0).applyQuaternion(this.camera.quaternion);
    step.z += up;
    step.multiplyScalar(this.extent * STRIDES_PER_S * seconds * (this.#held.has("ShiftLeft") ? 4 : 1));
    this.camera.position.add(step);
    this.orbit.target.add(step);
    return true;
  }

  dispose(): void {
    this.#end.abort();
    this.orbit.dispose();
  }

  #place(position: Vector3, target: Vector3): void {
    this.#flight = null;
    this.camera.position.copy(position);
    this.orbit.target.copy(target);
    this.camera.lookAt(target);
    this.onGrab();
    this.onMove();
  }

  #fly(now: number): void {
    const flight = this.#flight;
    if (!flight) return;
    const share = MathUtils.smootherstep((now - flight.start) / FLIGHT_MS, 0, 1);
    this.camera.position.lerpVectors(flight.from[0], flight.to[0], share);
    this.orbit.target.lerpVectors(flight.from[1], flight.to[1], share);
    this.camera.fov = MathUtils.lerp(flight.from[2], flight.to[2], share);
    this.camera.updateProjectionMatrix();
    this.camera.lookAt(this.orbit.target);
    if (share < 1) return;
    this.#flight = null;
    flight.arrived();
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.#mode === "walk" && (KEYS[event.code] || event.code === "ShiftLeft")) this.#held.add(event.code);
    else if (this.#mode === "walk") return;
    else if (event.code === "ArrowLeft") this.turn(-TURN, 0);
    else if (event.code === "ArrowRight") this.turn(TURN, 0);
    else if (event.code === "ArrowUp") this.turn(0, -TURN);
    else if (event.code === "ArrowDown") this.turn(0, TURN);
    else if (event.key === "+" || event.key === "=") this.zoom(0.85);
    else if (event.key === "-") this.zoom(1 / 0.85);
    else return;
    event.preventDefault();
    this.onMove();
  }

  #down(event: PointerEvent): void {
    this.#canvas.focus({ preventScroll: true });
    if (this.#mode !== "walk" || this.#drag) return;
    this.#drag = { id: event.pointerId, x: event.clientX, y: event.clientY };
    this.#canvas.setPointerCapture(event.pointerId);
    this.onGrab();
  }

  /** In walk mode a drag turns the head: what was grabbed follows the pointer. */
  #look(event: PointerEvent): void {
    if (event.pointerId !== this.#drag?.id) return;
    const perPixel = MathUtils.degToRad(this.camera.fov) / Math.max(this.#canvas.clientHeight, 1);
    const ahead = this.orbit.target.clone().sub(this.camera.position);
    const around = new Spherical().setFromVector3(new Vector3(ahead.x, ahead.z, -ahead.y));
    around.theta += (event.clientX - this.#drag.x) * perPixel;
    around.phi = MathUtils.clamp(around.phi - (event.clientY - this.#drag.y) * perPixel, 0.05, Math.PI - 0.05);
    this.#drag = { id: event.pointerId, x: event.clientX, y: event.clientY };
    const turned = new Vector3().setFromSpherical(around);
    this.orbit.target.copy(this.camera.position).add(new Vector3(turned.x, -turned.z, turned.y));
    this.camera.lookAt(this.orbit.target);
    this.onMove();
  }
}
