// The registered photos: poses, and pictures cut out of the archive by byte ranges.
import { Matrix3, Matrix4, Vector3 } from "three";
import type { Files } from "./files";

const INDEX = "photos.json";
const ARCHIVE = "photos.zip";
const POSES = "transforms.json";
const KEPT = 80;

export interface Photo {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** fx, fy, cx, cy [px of the picture]. */
  readonly k: readonly [number, number, number, number];
  /** Camera axes x right, y down, z forward. */
  readonly worldFromCam: Matrix4;
  readonly center: Vector3;
  readonly ahead: Vector3;
  /** Where the picture lies in the archive; null where none was kept. */
  readonly bytes: readonly [number, number] | null;
}

interface IndexRow {
  name: string;
  offset: number;
  bytes: number;
  width: number;
  height: number;
  k: [number, number, number, number];
  cam_from_world: number[][];
}

interface Intrinsics {
  w: number;
  h: number;
  fl_x: number;
  fl_y: number;
  cx: number;
  cy: number;
}

type Transforms = Partial<Intrinsics> & { frames: (Partial<Intrinsics> & { file_path: string; transform_matrix: number[][] })[] };

export class Photos {
  readonly all: readonly Photo[];
  readonly #files: Files;
  readonly #urls = new Map<Photo, Promise<string>>();

  private constructor(files: Files, all: readonly Photo[]) {
    this.#files = files;
    this.all = all;
  }

  static async read(files: Files): Promise<Photos> {
    if (files.has(INDEX)) {
      const index = await files.json<{ photos: IndexRow[] }>(INDEX);
      return new Photos(files, index.photos.map((row) => fromIndex(row, files.has(ARCHIVE))));
    }
    if (!files.has(POSES)) return new Photos(files, []);
    const told = await files.json<Transforms>(POSES);
    return new Photos(files, told.frames.map((frame) => fromTransforms({ ...told, ...frame })));
  }

  /** A blob's URL of the picture; the last ones are kept. */
  picture(photo: Photo): Promise<string> {
    const { bytes } = photo;
    if (!bytes) return Promise.reject(new Error("no picture was kept"));
    let url = this.#urls.get(photo);
    this.#urls.delete(photo); // the map's order is that of use
    url ??= this.#files.part(ARCHIVE, ...bytes).then((jpeg) => URL.createObjectURL(new Blob([jpeg], { type: "image/jpeg" })));
    url.catch(() => this.#urls.delete(photo));
    this.#urls.set(photo, url);
    for (const [old, kept] of this.#urls) {
      if (this.#urls.size <= KEPT) break;
      this.#urls.delete(old);
      void kept.then(URL.revokeObjectURL);
    }
    return url;
  }

  dispose(): void {
    this.#urls.forEach((url) => void url.then(URL.revokeObjectURL, () => undefined));
    this.#urls.clear();
  }
}

/** Corners of the picture in the world, at a depth: top left, top right, bottom right, bottom left. */
export function corners(photo: Photo, depth: number): Vector3[] {
  const [fx, fy, cx, cy] = photo.k;
  return [
    [0, 0],
    [photo.width, 0],
    [photo.width, photo.height],
    [0, photo.height],
  ].map(([x = 0, y = 0]) => new Vector3(((x - cx) / fx) * depth, ((y - cy) / fy) * depth, depth).applyMatrix4(photo.worldFromCam));
}

function fromIndex(row: IndexRow, hasArchive: boolean): Photo {
  const [a = [], b = [], c = []] = row.cam_from_world;
  const camFromWorld = new Matrix4().fromArray([...[...a, ...b, ...c].slice(0, 12), 0, 0, 0, 1]).transpose();
  const bytes = hasArchive ? ([row.offset, row.offset + row.bytes] as const) : null;
  return { name: row.name, width: row.width, height: row.height, k: row.k, bytes, ...pose(camFromWorld.invert()) };
}

function fromTransforms(frame: Partial<Intrinsics> & { file_path: string; transform_matrix: number[][] }): Photo {
  const glPose = new Matrix4().fromArray(frame.transform_matrix.flat()).transpose();
  const { w = 1, h = 1, fl_x = w, fl_y = fl_x, cx = w / 2, cy = h / 2 } = frame;
  const name = frame.file_path.split("/").pop() ?? frame.file_path;
  const worldFromCam = glPose.multiply(new Matrix4().makeScale(1, -1, -1)); // OpenGL's y is up, its z backward
  return { name, width: w, height: h, k: [fl_x, fl_y, cx, cy], bytes: null, ...pose(worldFromCam) };
}

function pose(worldFromCam: Matrix4): Pick<Photo, "worldFromCam" | "center" | "ahead"> {
  const center = new Vector3().setFromMatrixPosition(worldFromCam);
  const ahead = new Vector3(0, 0, 1).applyMatrix3(new Matrix3().setFromMatrix4(worldFromCam)).normalize();
  return { worldFromCam, center, ahead };
}
