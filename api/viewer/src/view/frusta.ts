// The cameras in the scene: pyramids, with their photos in them where there are not too many.
import { BufferAttribute, BufferGeometry, type Camera, DoubleSide, Group, LineBasicMaterial, LineSegments, Mesh, MeshBasicMaterial, NoColorSpace, Texture, Vector3 } from "three";
import { corners, type Photo, type Photos } from "./photos";

const WITH_PICTURES = 120;
const AT_ONCE = 4;
const PICTURE_PX = 192;
const NEAR_PX = 18;

export class Frusta {
  readonly group = new Group();
  onChange: () => void = () => undefined;
  readonly #photos: Photos;
  readonly #lines: LineSegments<BufferGeometry, LineBasicMaterial>;
  readonly #marked: LineSegments<BufferGeometry, LineBasicMaterial>;
  readonly #pictures: Mesh<BufferGeometry, MeshBasicMaterial>[] = [];
  readonly #depth: number;
  #begun = false;
  #disposed = false;

  constructor(photos: Photos, depth: number) {
    this.#photos = photos;
    this.#depth = depth;
    this.#lines = outlines(photos.all, depth, new LineBasicMaterial({ color: 0x2f7fe0 }));
    this.#marked = outlines([], depth, new LineBasicMaterial({ color: 0xff8a1f, depthTest: false }));
    this.#marked.renderOrder = 2;
    this.group.add(this.#lines, this.#marked);
    this.group.visible = false;
  }

  show(isShown: boolean): void {
    this.group.visible = isShown;
    if (isShown && !this.#begun) {
      this.#begun = true;
      void this.#loadPictures();
    }
  }

  mark(photo: Photo | null): void {
    this.#marked.geometry.dispose();
    this.#marked.geometry = outline(photo ? [photo] : [], this.#depth);
  }

  /** The camera whose center is nearest to a place on the canvas, in its pixels; none beyond a finger's breadth. */
  at(x: number, y: number, width: number, height: number, camera: Camera): Photo | null {
    if (!this.group.visible) return null;
    let [best, nearest]: [Photo | null, number] = [null, NEAR_PX];
    const center = new Vector3();
    for (const photo of this.#photos.all) {
      center.copy(photo.center).project(camera);
      if (center.z > 1 || center.z < -1) continue;
      const away = Math.hypot(((center.x + 1) / 2) * width - x, ((1 - center.y) / 2) * height - y);
      if (away < nearest) [best, nearest] = [photo, away];
    }
    return best;
  }

  dispose(): void {
    this.#disposed = true;
    for (const lines of [this.#lines, this.#marked]) (lines.geometry.dispose(), lines.material.dispose());
    for (const picture of this.#pictures) {
      picture.geometry.dispose();
      (picture.material.map?.image as ImageBitmap | undefined)?.close();
      picture.material.map?.dispose();
      picture.material.dispose();
    }
    this.group.removeFromParent();
  }

  async #loadPictures(): Promise<void> {
    const queue = this.#photos.all.filter((photo) => photo.bytes).slice(0, WITH_PICTURES);
    const work = async (): Promise<void> => {
      for (let photo = queue.shift(); photo && !this.#disposed; photo = queue.shift()) {
        try {
          const blob = await (await fetch(await this.#photos.picture(photo))).blob();
          const image = await createImageBitmap(blob, { resizeWidth: PICTURE_PX, imageOrientation: "flipY" });
          if (this.#disposed) return image.close();
          this.#add(photo, image);
        } catch {
          return; // the outlines stay
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  #add(photo: Photo, image: ImageBitmap): void {
    const [a, b, c, d] = corners(photo, this.#depth).map((corner) => corner.toArray());
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array([a, b, c, d].flatMap((corner) => corner ?? [])), 3));
    geometry.setAttribute("uv", new BufferAttribute(new Float32Array([0, 1, 1, 1, 1, 0, 0, 0]), 2));
    geometry.setIndex([0, 2, 1, 0, 3, 2]);
    const map = new Texture(image);
    map.colorSpace = NoColorSpace;
    map.flipY = false;
    map.needsUpdate = true;
    const picture = new Mesh(geometry, new MeshBasicMaterial({ map, side: DoubleSide }));
    this.#pictures.push(picture);
    this.group.add(picture);
    this.onChange();
  }
}

function outlines(photos: readonly Photo[], depth: number, material: LineBasicMaterial): LineSegments<BufferGeometry, LineBasicMaterial> {
  const lines = new LineSegments(outline(photos, depth), material);
  lines.frustumCulled = false;
  return lines;
}

function outline(photos: readonly Photo[], depth: number): BufferGeometry {
  const ends: number[] = [];
  for (const photo of photos) {
    const rim = corners(photo, depth);
    rim.forEach((corner, i) => ends.push(...photo.center.toArray(), ...corner.toArray(), ...corner.toArray(), ...rim[(i + 1) % 4]!.toArray()));
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(ends), 3));
  return geometry;
}
