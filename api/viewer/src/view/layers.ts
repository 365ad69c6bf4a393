// What there is to see of a job, fetched and put into the scene; replaced as better comes, the view kept.
import { Box3, Vector3 } from "three";
import { type Cloud, openCopc, openPly } from "./clouds";
import type { Files } from "./files";
import { Surface } from "./mesh";
import { Photos } from "./photos";
import { type Place, readPlace } from "./place";
import { PointCloud } from "./pointcloud";
import type { Scene } from "./scene";
import type { JobSource } from "./types";

const RESULT = "points.laz";
const MESH = "mesh.glb";
const SAMPLE = 20_000;

export interface Bounds {
  readonly center: Vector3;
  readonly radius: number;
  readonly low: number;
  readonly high: number;
  readonly full: Box3;
}

/** What is asked for before there is anything to draw on: making that takes as long as fetching this. */
export class Ahead {
  readonly place: Promise<Place>;
  readonly cloud: Promise<Cloud> | null;

  constructor(files: Files) {
    this.place = readPlace(files);
    const world = this.place.then(
      (place) => place.worldFromLaz ?? null,
      () => null,
    );
    this.cloud = files.has(RESULT) ? openCopc(files, RESULT, world) : null;
    this.cloud?.catch(() => undefined); // told by whoever takes it
  }

  dispose(): void {
    this.cloud?.then(
      (cloud) => cloud.dispose(),
      () => undefined,
    );
  }
}

export class Layers {
  place: Place | null = null;
  photos: Photos | null = null;
  /** The artifact that the cloud comes from. */
  source = "";
  onPlace: (place: Place) => void = () => undefined;
  onPhotos: (photos: Photos) => void = () => undefined;
  /** A cloud or a mesh is there; `isFirst` where there was none before. */
  onLayer: (bounds: Bounds, isFirst: boolean) => void = () => undefined;
  onProblem: (reason: unknown) => void = () => undefined;
  readonly #scene: Scene;
  readonly #files: Files;
  readonly #job: JobSource;
  #work: Promise<void> = Promise.resolve();
  #mesh: Promise<void> | null = null;
  #hasShown = false;
  #ahead: Ahead | null;

  constructor(scene: Scene, files: Files, job: JobSource, ahead: Ahead) {
    this.#ahead = ahead;
    this.#scene = scene;
    this.#files = files;
    this.#job = job;
  }

  get hasMesh(): boolean {
    return this.#scene.surface !== null || this.#files.has(MESH);
  }

  get isPreview(): boolean {
    return this.source !== "" && this.source !== RESULT;
  }

  dispose(): void {
    this.photos?.dispose();
    this.#ahead?.dispose();
  }

  /** Look again at what there is; one after the other. */
  refresh(): Promise<void> {
    this.#work = this.#work.then(() => this.#refresh());
    return this.#work;
  }

  /** The mesh is large: it is fetched when it is asked for. */
  loadMesh(): Promise<void> {
    this.#mesh ??= this.#loadMesh().catch((reason: unknown) => {
      this.#mesh = null;
      throw reason;
    });
    return this.#mesh;
  }

  async #refresh(): Promise<void> {
    const attempt = async (work: () => Promise<void>): Promise<void> => {
      try {
        if (!this.#files.ended) await work();
      } catch (reason) {
        if (!this.#files.ended) this.onProblem(reason);
      }
    };
    const ahead = this.#ahead;
    this.#ahead = null;
    const place = attempt(async () => {
      if (this.place?.metric != null) return;
      this.place = await (ahead?.place ?? readPlace(this.#files));
      this.onPlace(this.place);
    });
    // poses are small, and the first view is from where the cameras were
    await Promise.all([place, attempt(() => this.#loadPhotos()), attempt(() => this.#loadCloud(place, ahead?.cloud ?? null))]);
    if (!this.#scene.cloud?.cloud.count && this.hasMesh) await attempt(() => this.loadMesh());
  }

  async #loadPhotos(): Promise<void> {
    if (this.photos?.all.length) return;
    const photos = await Photos.read(this.#files);
    if (!photos.all.length) return;
    this.photos = photos;
    this.onPhotos(photos);
  }

  async #loadCloud(place: Promise<void>, ahead: Promise<Cloud> | null): Promise<void> {
    const name = this.#best();
    if (!name || name === this.source) return;
    const world = place.then(() => this.place?.worldFromLaz ?? null);
    const cloud = name === RESULT ? await (ahead ?? openCopc(this.#files, name, world)) : await openPly(this.#files, name);
    await place;
    await this.#replace(name, cloud);
  }

  /** The result, else the largest preview: the coarse dense cloud is larger than the sparse one. */
  #best(): string | null {
    if (this.#files.has(RESULT)) return RESULT;
    const previews = this.#job.artifacts().filter(({ name }) => name.endsWith(".ply"));
    return previews.sort((a, b) => b.size - a.size)[0]?.name ?? null;
  }

  async #replace(name: string, cloud: Cloud): Promise<void> {
    const scene = this.#scene;
    const next = new PointCloud(cloud, scene.look);
    next.onChange = () => scene.redraw();
    next.cache = scene.cache;
    next.onLost = (reason) => this.onProblem(reason);
    await next.begin();
    if (this.#files.ended) return next.dispose();
    const before = scene.cloud;
    if (cloud.root && [...next.loaded()].length === 0) {
      next.dispose(); // its first points could not be had: what there was stays
      return;
    }
    scene.cloud = next;
    scene.stage.add(next.group);
    before?.dispose();
    this.source = name;
    const positions = [...next.loaded()].map(({ center, position }) => ({ center, position }));
    this.#tell(boundsOf(positions), "points");
  }

  async #loadMesh(): Promise<void> {
    const glb = await this.#files.whole(MESH);
    const surface = await Surface.parse(glb, this.#scene.look, this.#scene.renderer.capabilities.getMaxAnisotropy());
    if (!surface) return;
    if (this.#files.ended) return surface.dispose();
    this.#scene.surface = surface;
    this.#scene.stage.add(surface.group);
    const corners: number[] = [];
    surface.eachTriangle((a) => corners.push(a.x, a.y, a.z));
    this.#tell(boundsOf([{ center: new Vector3(), position: corners }]), "mesh");
  }

  #tell(bounds: Bounds | null, layer: "points" | "mesh"): void {
    if (!bounds) return;
    const isFirst = !this.#hasShown;
    this.#hasShown = true;
    if (isFirst) this.#scene.layer = layer;
    this.onLayer(bounds, isFirst);
  }
}

/** Of some of the points: the middle 98 % an axis, so that stragglers do not count, and all of them. */
function boundsOf(parts: readonly { readonly center: Vector3; readonly position: ArrayLike<number> }[]): Bounds | null {
  const axes: [number[], number[], number[]] = [[], [], []];
  const full = new Box3();
  const point = new Vector3();
  const total = parts.reduce((sum, { position }) => sum + position.length / 3, 0);
  const every = Math.max(1, Math.floor(total / SAMPLE));
  for (const { center, position } of parts) {
    for (let i = 0; i < position.length; i += 3 * every) {
      point.set(position[i] ?? 0, position[i + 1] ?? 0, position[i + 2] ?? 0).add(center);
      full.expandByPoint(point);
      axes.forEach((values, axis) => values.push(point.getComponent(axis)));
    }
  }
  if (full.isEmpty()) return null;
  const ends = axes.map((values) => {
    values.sort((a, b) => a - b);
    return [values[Math.floor(values.length * 0.01)] ?? 0, values[Math.ceil(values.length * 0.99) - 1] ?? 0] as const;
  });
  const [low, high] = [new Vector3(...ends.map(([a]) => a)), new Vector3(...ends.map(([, b]) => b))];
  return { center: low.clone().add(high).divideScalar(2), radius: high.distanceTo(low) / 2, low: low.z, high: high.z, full };
}
