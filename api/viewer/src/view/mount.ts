// The viewer: its parts put together in an element of the page.
import { type Box3, Vector3 } from "three";
import { DisplayPanel } from "./display";
import { el } from "./dom";
import { Files } from "./files";
import { Frusta } from "./frusta";
import { Gallery } from "./gallery";
import { Axes, ScaleBar } from "./gizmos";
import { Ahead, type Bounds, Layers } from "./layers";
import { Measuring } from "./measure/measuring";
import type { Photos } from "./photos";
import { FOV_DEG, Scene } from "./scene";
import { Status } from "./status";
import { mountStill } from "./still";
import { LookThrough } from "./through";
import { Toolbar } from "./toolbar";
import type { JobSource, Viewer } from "./types";
import { WalkPad } from "./walkpad";

const HELP =
  "Model. Arrow keys turn it, plus and minus come nearer and go away, Escape ends a tool. While measuring, Enter sets a point in the middle.";

/** Renderers without a graphics card: smooth edges cost them half of their frames. */
const SOFTWARE = /swiftshader|llvmpipe|software|basic render/i;

export async function mountViewer(root: HTMLElement, job: JobSource): Promise<Viewer> {
  const files = new Files(job);
  const ahead = new Ahead(files);
  await new Promise((resume) => setTimeout(resume)); // requests go out before a context is made, which holds up everything
  const context = contextOf(false) ?? contextOf(true);
  const viewer = context ? new View(root, job, context, files, ahead) : mountStill(root, job);
  if (!context) {
    files.dispose();
    ahead.dispose();
  }
  return Object.assign(root, { viewer }).viewer;
}

/** A canvas's context; null where there is no WebGL 2, or with smooth edges no graphics card. */
function contextOf(isSlow: boolean): WebGL2RenderingContext | null {
  const canvas = el("canvas", { class: "v-canvas", tabindex: 0, role: "application", "aria-label": HELP, "aria-roledescription": "3D view" });
  const context = canvas.getContext("webgl2", { antialias: !isSlow, powerPreference: "high-performance" });
  const about = isSlow ? null : context?.getExtension("WEBGL_debug_renderer_info");
  if (!context || !about || !SOFTWARE.test(String(context.getParameter(about.UNMASKED_RENDERER_WEBGL)))) return context;
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return null;
}

class View implements Viewer {
  readonly #root: HTMLElement;
  readonly #files: Files;
  readonly #canvas: HTMLCanvasElement;
  readonly #scene: Scene;
  readonly #layers: Layers;
  readonly #status = new Status();
  readonly #display: DisplayPanel;
  readonly #measuring: Measuring;
  readonly #scale = new ScaleBar();
  readonly #axes = new Axes(() => this.#lookNorth());
  readonly #tip = el("div", { class: "v-tip", hidden: true });
  readonly #walkPad: WalkPad;
  readonly #tools: Toolbar;
  readonly #panels: Toolbar;
  readonly #end = new AbortController();
  readonly #stopListening: () => void;
  #frusta: Frusta | null = null;
  #gallery: Gallery | null = null;
  #through: LookThrough | null = null;
  #home: { position: Vector3; target: Vector3 } | null = null;
  #bounds: Bounds | null = null;
  /** Nobody has done anything here yet: the view may follow the model as it grows. */
  #isUntouched = true;

  constructor(root: HTMLElement, job: JobSource, context: WebGL2RenderingContext, files: Files, ahead: Ahead) {
    const canvas = context.canvas as HTMLCanvasElement; // made above
    this.#canvas = canvas;
    this.#root = root;
    this.#files = files;
    root.classList.add("viewer");
    root.dataset.state = "loading";
    const stageBox = el("div", { class: "v-stage" }, canvas);
    root.replaceChildren(stageBox);
    this.#scene = new Scene(stageBox, canvas, context);
    this.#layers = new Layers(this.#scene, files, job, ahead);
    this.#display = new DisplayPanel(this.#scene);
    this.#measuring = new Measuring(this.#scene, this.#layers, this.#status, job.measurements);
    this.#walkPad = new WalkPad(this.#scene.navigator);
    this.#tools = new Toolbar("Tools", [
      [
        { icon: "orbit", label: "Orbit", press: () => this.#move("orbit") },
        { icon: "walk", label: "Walk", press: () => this.#move("walk") },
      ],
      this.#measuring.tools(() => this.#panel("Measurements", true)),
      [
        { icon: "home", label: "Whole model", press: () => this.#goHome() },
        { icon: "top", label: "From above", press: () => this.#lookDown() },
      ],
    ]);
    this.#panels = new Toolbar(
      "Panels",
      [
        [
          { icon: "settings", label: "Display", press: () => this.#panel("Display") },
          { icon: "ruler", label: "Measurements", press: () => this.#panel("Measurements") },
        ],
      ],
      "v-tools v-panels",
    );
    stageBox.append(this.#measuring.overlay.element, this.#status.element, this.#scale.element, this.#axes.element, this.#tip, this.#walkPad.element);
    root.append(this.#tools.element, this.#panels.element, this.#display.element, this.#measuring.panel.element);
    this.#wire();
    this.#panel("Display", !matchMedia("(max-width: 720px)").matches);
    this.#move("orbit");
    this.#stopListening = job.onArtifacts(() => void this.#refresh());
    void this.#refresh();
    void this.#measuring.load();
  }

  project(point: readonly [number, number, number]): [number, number] | null {
    return this.#scene.project(new Vector3(...point));
  }

  dispose(): void {
    this.#end.abort();
    this.#stopListening();
    this.#files.dispose();
    this.#measuring.dispose();
    this.#frusta?.dispose();
    this.#gallery?.dispose();
    this.#layers.dispose();
    this.#scene.dispose();
    this.#root.replaceChildren();
    this.#root.classList.remove("viewer");
    delete (this.#root as { viewer?: unknown }).viewer;
  }

  #wire(): void {
    const { navigator } = this.#scene;
    this.#layers.onPlace = (place) => {
      this.#display.place = place;
      this.#measuring.panel.place = place;
    };
    this.#layers.onPhotos = (photos) => this.#addPhotos(photos);
    this.#layers.onLayer = (bounds, isFirst) => this.#show(bounds, isFirst);
    this.#layers.onProblem = (reason) => this.#status.problem(reason);
    this.#measuring.onTool = (label, isOn) => this.#tools.press(label, isOn);
    this.#display.onNeedMesh = () => this.#loadMesh();
    this.#display.hasMesh = () => this.#layers.hasMesh;
    this.#display.onCameras = (isShown) => this.#showCameras(isShown);
    navigator.onGrab = () => this.#through?.leave(false);
    this.#scene.onDraw = () => this.#through?.place();
    this.#scene.onDrawn = () => this.#drawn();
    const options = { signal: this.#end.signal };
    this.#canvas.addEventListener("webglcontextlost", () => this.#status.lost(true), options);
    this.#canvas.addEventListener("webglcontextrestored", () => this.#status.lost(false), options);
    this.#canvas.addEventListener("click", (event) => this.#click(event), options);
    this.#canvas.addEventListener("dblclick", (event) => this.#focusOn(event), options);
    this.#canvas.addEventListener("pointermove", (event) => this.#hover(event), options);
    for (const kind of ["pointerdown", "wheel", "keydown"]) this.#root.addEventListener(kind, () => (this.#isUntouched = false), { ...options, passive: true });
    this.#root.addEventListener("keydown", (event) => event.key === "Escape" && this.#escape(), options);
    const stage = this.#canvas.parentElement ?? this.#root;
    const recolour = (): void => void (this.#scene.background = getComputedStyle(stage).backgroundColor);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour, options);
    const watch = new MutationObserver(recolour);
    watch.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
    options.signal.addEventListener("abort", () => watch.disconnect());
    recolour();
  }

  async #refresh(): Promise<void> {
    if (!this.#scene.cloud && !this.#scene.surface) this.#status.tell("Loading…");
    await this.#layers.refresh();
    if (this.#files.ended) return;
    this.#display.offer();
    const { cloud, surface } = this.#scene;
    const hasSomething = Boolean(cloud?.cloud.count) || surface !== null;
    this.#root.dataset.source = this.#layers.source;
    this.#root.dataset.state = hasSomething ? "ready" : this.#status.hasProblem ? "error" : "empty";
    this.#status.tell(this.#layers.isPreview ? "Early preview: it is replaced as the job goes on." : "");
    if (!hasSomething && this.#status.hasProblem) this.#status.say("The model could not be loaded.");
    else if (!hasSomething) {
      const isOver = this.#files.has("products.json") || cloud !== null;
      this.#status.say(isOver ? "The job made no points and no mesh: there is nothing to show." : "There is nothing to see yet. The first preview appears here while the job runs.");
    }
  }

  #show(bounds: Bounds, isFirst: boolean): void {
    this.#bounds = bounds;
    this.#scene.frame(bounds.center, bounds.radius, bounds.low, bounds.high);
    this.#status.say("");
    this.#display.bounds = bounds.full as Box3;
    this.#display.offer();
    this.#display.show(this.#scene.layer);
    this.#makeFrusta();
    this.#home = this.#homeOf(bounds);
    if (isFirst || this.#isUntouched) this.#scene.navigator.jump(this.#home.position, this.#home.target);
    this.#scene.redraw();
  }

  /** From the side of the cameras, a little above them. */
  #homeOf(bounds: Bounds): { position: Vector3; target: Vector3 } {
    const subject = this.#layers.place?.subject;
    const center = subject?.getCenter(new Vector3()) ?? bounds.center;
    const radius = subject ? Math.min(subject.getSize(new Vector3()).length() / 2, bounds.radius) : bounds.radius;
    const photos = this.#layers.photos?.all ?? [];
    const side = new Vector3();
    photos.forEach((photo) => side.add(photo.center.clone().sub(center).normalize()));
    const height = side.z / Math.max(photos.length, 1); // sine of the cameras' mean elevation
    side.z = 0;
    if (side.length() < 0.2 * Math.max(photos.length, 1)) side.set(0.5, -1, 0); // all around
    side.normalize().setZ(Math.min(Math.max(height, 0.4), 1));
    const fit = Math.sin(((FOV_DEG / 2) * Math.PI) / 180) * Math.min(1, this.#scene.camera.aspect);
    return { position: center.clone().addScaledVector(side.normalize(), (0.85 * radius) / fit), target: center.clone() };
  }

  #addPhotos(photos: Photos): void {
    this.#display.cameras = photos.all.length;
    this.#through = new LookThrough(photos, this.#scene.navigator, this.#canvas);
    this.#through.onChange = (photo) => {
      this.#frusta?.mark(photo);
      this.#gallery?.mark(photo);
      this.#frusta?.show(photo === null && this.#display.hasCameras); // they would stand in the way
      this.#root.classList.toggle("v-through-photo", photo !== null);
      this.#scene.redraw();
    };
    this.#gallery = new Gallery(photos);
    this.#gallery.onChoose = (photo) => this.#enter(photo);
    this.#canvas.after(this.#through.picture); // below what is drawn over the canvas
    this.#canvas.parentElement?.append(this.#through.bar);
    this.#display.element.append(this.#gallery.element);
    this.#makeFrusta();
    if (this.#bounds) this.#home = this.#homeOf(this.#bounds);
  }

  #makeFrusta(): void {
    const { photos } = this.#layers;
    if (!photos || !this.#bounds || this.#frusta) return;
    this.#frusta = new Frusta(photos, this.#bounds.radius * 0.05);
    this.#frusta.onChange = () => this.#scene.redraw();
    this.#scene.stage.add(this.#frusta.group);
  }

  #showCameras(isShown: boolean): void {
    this.#frusta?.show(isShown);
    if (this.#gallery) this.#gallery.element.hidden = !isShown;
    if (!isShown) this.#through?.leave(true);
    this.#scene.redraw();
  }

  #enter(photo: Photos["all"][number]): void {
    this.#move("orbit");
    this.#through?.enter(photo).catch((reason: unknown) => this.#status.problem(reason));
  }

  async #loadMesh(): Promise<void> {
    this.#status.tell("Loading the mesh…");
    try {
      await this.#layers.loadMesh();
      this.#status.tell("");
    } catch (reason) {
      this.#status.tell("");
      this.#status.problem(reason);
    }
  }

  #move(mode: "orbit" | "walk"): void {
    this.#scene.navigator.mode = mode;
    this.#tools.press("Orbit", mode === "orbit");
    this.#tools.press("Walk", mode === "walk");
    this.#walkPad.show(mode === "walk");
    if (mode === "walk") this.#status.tell(this.#walkPad.hint);
    else this.#status.tell(this.#layers.isPreview ? "Early preview: it is replaced as the job goes on." : "");
  }

  #goHome(): void {
    this.#through?.leave(false);
    if (this.#home) void this.#scene.navigator.fly(this.#home.position, this.#home.target, FOV_DEG);
  }

  #lookDown(): void {
    this.#through?.leave(false);
    const { center, camera, navigator } = this.#scene;
    const distance = (1.05 * this.#scene.radius) / Math.tan((FOV_DEG * Math.PI) / 360) / Math.min(1, camera.aspect);
    void navigator.fly(center.clone().add(new Vector3(0, -distance * 1e-3, distance)), center, FOV_DEG);
  }

  #lookNorth(): void {
    const { camera, navigator } = this.#scene;
    const offset = camera.position.clone().sub(navigator.orbit.target);
    const away = Math.hypot(offset.x, offset.y);
    void navigator.fly(navigator.orbit.target.clone().add(new Vector3(0, -Math.max(away, 1e-3 * offset.length()), offset.z)), navigator.orbit.target);
  }

  /** Opens one panel and closes the other; called without a state it toggles. */
  #panel(name: "Display" | "Measurements", isOpen?: boolean): void {
    const panels = { Display: this.#display.element, Measurements: this.#measuring.panel.element };
    const open = isOpen ?? Boolean(panels[name].hidden);
    for (const [other, panel] of Object.entries(panels)) {
      panel.hidden = other !== name || !open;
      this.#panels.press(other, !panel.hidden);
    }
    this.#root.classList.toggle("v-has-panel", open);
  }

  #photoAt(event: MouseEvent): Photos["all"][number] | null {
    if (this.#measuring.isOn || this.#through?.photo) return null;
    const area = this.#canvas.getBoundingClientRect();
    return this.#frusta?.at(event.clientX - area.left, event.clientY - area.top, area.width, area.height, this.#scene.camera) ?? null;
  }

  #hover(event: PointerEvent): void {
    if (event.buttons || event.pointerType !== "mouse") return;
    const photo = this.#photoAt(event);
    this.#canvas.classList.toggle("v-can-press", photo !== null);
    this.#tip.hidden = !photo;
    if (!this.#through?.photo) this.#frusta?.mark(photo);
    this.#scene.redraw();
    if (!photo) return;
    const area = this.#canvas.getBoundingClientRect();
    this.#tip.textContent = photo.name;
    this.#tip.style.left = `${event.clientX - area.left}px`;
    this.#tip.style.top = `${event.clientY - area.top}px`;
  }

  #click(event: MouseEvent): void {
    const photo = this.#photoAt(event);
    if (!photo) return;
    this.#tip.hidden = true;
    this.#enter(photo);
  }

  #focusOn(event: MouseEvent): void {
    if (this.#measuring.isOn || this.#scene.navigator.mode === "walk") return;
    const point = this.#scene.pick(event.clientX, event.clientY);
    if (!point) return;
    const { camera, navigator } = this.#scene;
    const offset = camera.position.clone().sub(point).multiplyScalar(0.6);
    void navigator.fly(point.clone().add(offset), point);
  }

  #escape(): void {
    if (this.#measuring.isOn) this.#measuring.stop();
    else if (this.#through?.photo) this.#through.leave(true);
    else if (this.#scene.navigator.mode === "walk") this.#move("orbit");
  }

  #drawn(): void {
    const { camera, canvas, navigator, budget } = this.#scene;
    this.#measuring.draw();
    if (this.#layers.place) {
      this.#scale.draw(camera, navigator.orbit.target, canvas.clientHeight, this.#layers.place);
      this.#axes.draw(camera, this.#layers.place);
    }
    this.#display.drawn();
    Object.assign(this.#root.dataset, {
      points: String(Math.round(this.#scene.drawnPoints)),
      complete: String(this.#scene.isComplete),
      budget: String(Math.round(budget.moving)),
      resolution: String(budget.resolution),
      frameMs: budget.frameMs.toFixed(0),
      layer: this.#scene.layer,
      megabytes: ((this.#scene.cloud?.bytes ?? 0) / 1e6).toFixed(0),
    });
  }
}
