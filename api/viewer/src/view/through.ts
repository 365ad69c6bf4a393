// Looking through a photo's camera, the photo laid over the model.
import { MathUtils, Vector3 } from "three";
import { el, icon } from "./dom";
import type { Navigator } from "./navigate";
import type { Photo, Photos } from "./photos";

const FILL = 0.94;

export class LookThrough {
  readonly picture = el("img", { class: "v-over", alt: "", hidden: true });
  readonly bar: HTMLElement;
  onChange: (photo: Photo | null) => void = () => undefined;
  readonly #name = el("span", { class: "v-through-name" });
  readonly #slider = el("input", { type: "range", min: 0, max: 100, value: 60, "aria-label": "Photo over the model" });
  readonly #photos: Photos;
  readonly #navigator: Navigator;
  readonly #canvas: HTMLElement;
  #photo: Photo | null = null;
  #before: { position: Vector3; target: Vector3; fov: number } | null = null;

  constructor(photos: Photos, navigator: Navigator, canvas: HTMLElement) {
    this.#photos = photos;
    this.#navigator = navigator;
    this.#canvas = canvas;
    const button = (name: "left" | "right" | "close", label: string, press: () => void): HTMLElement =>
      el("button", { type: "button", class: "v-button", "aria-label": label, title: label, click: press }, icon(name));
    this.bar = el(
      "div",
      { class: "v-through", hidden: true, role: "group", "aria-label": "Photo" },
      button("left", "Previous photo", () => this.#step(-1)),
      this.#name,
      button("right", "Next photo", () => this.#step(1)),
      el("label", { class: "v-fade" }, "Model", this.#slider, "Photo"),
      button("close", "Leave the photo", () => this.leave(true)),
    );
    this.#slider.addEventListener("input", () => this.#fade());
  }

  get photo(): Photo | null {
    return this.#photo;
  }

  async enter(photo: Photo): Promise<void> {
    const { camera, orbit } = this.#navigator;
    this.#before ??= { position: camera.position.clone(), target: orbit.target.clone(), fov: camera.fov };
    this.#photo = photo;
    this.picture.hidden = true;
    this.bar.hidden = false;
    this.#name.textContent = this.#name.title = photo.name;
    this.#slider.disabled = !photo.bytes;
    const reach = Math.max(photo.center.distanceTo(orbit.target), this.#navigator.extent * 0.05);
    const arrived = this.#navigator.fly(photo.center, photo.center.clone().addScaledVector(photo.ahead, reach), this.#fov(photo));
    this.onChange(photo);
    if (!photo.bytes) return;
    const [url] = await Promise.all([this.#photos.picture(photo), arrived]);
    if (this.#photo !== photo) return;
    this.picture.src = url;
    this.place();
    this.picture.hidden = false;
    this.#fade();
  }

  /** Back to where the user was, or on from here where they took hold of the view. */
  leave(goBack: boolean): void {
    if (!this.#photo || !this.#before) return;
    const { position, target, fov } = this.#before;
    this.#photo = this.#before = null;
    this.picture.hidden = this.bar.hidden = true;
    if (goBack) void this.#navigator.fly(position, target, fov);
    this.onChange(null);
  }

  /** Fits the picture to the canvas; its principal point lies at the canvas's middle, where the view's axis goes through. */
  place(): void {
    const photo = this.#photo;
    if (!photo) return;
    const scale = this.#scale(photo);
    const [fx, fy, cx, cy] = photo.k;
    const stretch = fy / fx;
    const style = this.picture.style;
    style.width = `${photo.width * scale * stretch}px`;
    style.height = `${photo.height * scale}px`;
    style.left = `${this.#canvas.clientWidth / 2 - cx * scale * stretch}px`;
    style.top = `${this.#canvas.clientHeight / 2 - cy * scale}px`;
    style.rotate = `${rollDeg(photo)}deg`;
    style.transformOrigin = `${cx * scale * stretch}px ${cy * scale}px`;
    if (this.#before) {
      this.#navigator.camera.fov = this.#fov(photo);
      this.#navigator.camera.updateProjectionMatrix();
    }
  }

  #scale(photo: Photo): number {
    const roll = MathUtils.degToRad(rollDeg(photo));
    const [c, s] = [Math.abs(Math.cos(roll)), Math.abs(Math.sin(roll))];
    const [width, height] = [photo.width * c + photo.height * s, photo.width * s + photo.height * c];
    return FILL * Math.min(this.#canvas.clientWidth / width, this.#canvas.clientHeight / height);
  }

  #fov(photo: Photo): number {
    const focalPx = photo.k[1] * this.#scale(photo);
    return MathUtils.radToDeg(2 * Math.atan(this.#canvas.clientHeight / 2 / focalPx));
  }

  #fade(): void {
    this.picture.style.opacity = String(Number(this.#slider.value) / 100);
  }

  #step(by: number): void {
    const all = this.#photos.all;
    const at = this.#photo ? all.indexOf(this.#photo) : 0;
    const next = all[(at + by + all.length) % all.length];
    if (next) void this.enter(next).catch(() => undefined);
  }
}

/** How far the photo must turn, clockwise, so that its axes meet those of an upright view along its axis. */
export function rollDeg(photo: Photo): number {
  const right = new Vector3().setFromMatrixColumn(photo.worldFromCam, 0);
  const down = new Vector3().setFromMatrixColumn(photo.worldFromCam, 1);
  const levelRight = photo.ahead.clone().cross(new Vector3(0, 0, 1));
  if (levelRight.lengthSq() < 1e-8) levelRight.set(0, 1, 0); // straight up or down: as Matrix4.lookAt does
  levelRight.normalize();
  return MathUtils.radToDeg(Math.atan2(-down.dot(levelRight), right.dot(levelRight)));
}
