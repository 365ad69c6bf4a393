// Where points come from: nodes of an octree that are fetched one by one. A preview is an octree of one node.
import { Copc, type Hierarchy } from "copc";
import { Box3, Vector3 } from "three";
import type { Unpacked } from "./decode";
import { FileError, type Files } from "./files";
import type { WorldFromLaz } from "./place";
import { parsePly } from "./ply";
import { Unpackers } from "./unpackers";

export interface CloudNode {
  readonly level: number;
  readonly count: number;
  readonly center: Vector3;
  /** Of a sphere about the center that holds all points. */
  readonly radius: number;
  readonly children: CloudNode[];
  load(): Promise<Omit<Unpacked, "id">>;
}

export interface Cloud {
  readonly count: number;
  readonly root: CloudNode | null;
  /** Between points of the root [world]. */
  readonly spacing: number;
  /** Which of its colours mean something. */
  readonly has: { readonly normal: boolean; readonly confidence: boolean; readonly views: boolean };
  dispose(): void;
}

/** Both ends of a COPC, fetched at once: its header, and its hierarchy of some 2000 nodes. */
const [HEAD_BYTES, TAIL_BYTES] = [65_536, 72_000];
const STANDARD_BYTES: Record<number, number> = { 6: 30, 7: 36, 8: 38 };

/** Open a COPC: its header and hierarchy are fetched, no points yet; meanwhile workers start, and `laz` may still be under way. */
export async function openCopc(files: Files, name: string, laz: Promise<WorldFromLaz | null>): Promise<Cloud> {
  const unpackers = new Unpackers();
  try {
    return await read(files, name, laz, unpackers);
  } catch (reason) {
    unpackers.dispose();
    throw reason;
  }
}

async function read(files: Files, name: string, laz: Promise<WorldFromLaz | null>, unpackers: Unpackers): Promise<Cloud> {
  const get = endsFirst(files, name);
  const copc = await Copc.create(get).catch((reason: unknown) => {
    if (reason instanceof FileError || files.ended) throw reason;
    throw new Error(`${name} can't be streamed (${String(reason)}). Run the job again to make it anew.`);
  });
  const { nodes } = await Copc.loadHierarchyPage(get, copc.info.rootHierarchyPage); // ours have one page
  const world = await laz;
  const fields = layout(copc);
  const [x0, y0, z0, x1] = copc.info.cube;
  const half = (x1 - x0) / 2;
  const toWorld = world ? mapper(world) : (point: Vector3) => point;

  const node = (key: [number, number, number, number]): CloudNode | null => {
    const row: Hierarchy.Node | undefined = nodes[key.join("-")];
    if (!row) return null;
    const [level, x, y, z] = key;
    const size = (2 * half) / 2 ** level;
    const center = toWorld(new Vector3(x0 + (x + 0.5) * size, y0 + (y + 0.5) * size, z0 + (z + 0.5) * size));
    const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => node([level + 1, 2 * x + (i & 1), 2 * y + ((i >> 1) & 1), 2 * z + (i >> 2)]));
    return {
      level,
      count: row.pointCount,
      center,
      radius: (size / 2) * Math.sqrt(3) * 1.01,
      children: corners.filter((child) => child !== null),
      load: async () => {
        const packed = await files.part(name, row.pointDataOffset, row.pointDataOffset + row.pointDataLength);
        return unpackers.unpack({
          packed: packed.buffer,
          count: row.pointCount,
          format: copc.header.pointDataRecordFormat,
          recordBytes: copc.header.pointDataRecordLength,
          scale: copc.header.scale,
          offset: copc.header.offset,
          world,
          center: center.toArray(),
          fields,
        });
      },
    };
  };
  return {
    count: copc.header.pointCount,
    root: copc.header.pointCount ? node([0, 0, 0, 0]) : null,
    spacing: copc.info.spacing,
    has: { normal: fields.normal >= 0, confidence: fields.confidence >= 0, views: fields.views >= 0 },
    dispose: () => unpackers.dispose(),
  };
}

/** Reads ranges of a file whose two ends are on their way from now on: what lies in them needs no request of its own. */
function endsFirst(files: Files, name: string): (begin: number, end: number) => Promise<Uint8Array> {
  const bytes = files.size(name);
  const from = Math.max(bytes - TAIL_BYTES, 0);
  const [head, tail] = [files.part(name, 0, HEAD_BYTES), bytes > HEAD_BYTES ? files.part(name, from, bytes) : null];
  tail?.catch(() => undefined); // told by whoever reads it
  return async (begin, end) => {
    if (end <= HEAD_BYTES) return (await head).subarray(begin, end);
    if (tail && begin >= from && end <= bytes) return (await tail).subarray(begin - from, end - from);
    return files.part(name, begin, end);
  };
}

/** A preview, fetched whole. */
export async function openPly(files: Files, name: string): Promise<Cloud> {
  const ply = parsePly(await files.whole(name));
  const bounds = new Box3().setFromArray(ply.position);
  const center = bounds.getCenter(new Vector3());
  const count = ply.position.length / 3;
  for (let i = 0; i < ply.position.length; i++) ply.position[i]! -= center.getComponent(i % 3);
  const radius = Math.max(bounds.getSize(new Vector3()).length() / 2, 1e-6);
  const root: CloudNode = { level: 0, count, center, radius, children: [], load: () => Promise.resolve(ply) };
  return { count, root: count ? root : null, spacing: typicalSpacing(bounds, count), has: ply.has, dispose: () => undefined };
}

/** As if the points lay on the largest side of their box. */
function typicalSpacing(bounds: Box3, count: number): number {
  const size = bounds.getSize(new Vector3()).toArray().sort((a, b) => b - a);
  return 0.6 * Math.sqrt(((size[0] ?? 1) * (size[1] ?? 1)) / Math.max(count, 1)); // they cluster where there is texture
}

function layout(copc: Copc): { rgb: number; views: number; confidence: number; normal: number } {
  const format = copc.header.pointDataRecordFormat;
  let at = STANDARD_BYTES[format] ?? copc.header.pointDataRecordLength;
  const found: Record<string, number> = {};
  for (const field of copc.eb) {
    found[field.name] = at;
    at += field.length;
  }
  return { rgb: format === 6 ? -1 : 30, views: found.views ?? -1, confidence: found.confidence ?? -1, normal: found.normal_x ?? -1 };
}

function mapper(world: WorldFromLaz): (point: Vector3) => Vector3 {
  return (point) => {
    const d = point.clone().sub(new Vector3().fromArray([...world.origin]));
    const squares = [d.x * d.x, d.x * d.y, d.y * d.y, d.x * d.z, d.y * d.z];
    const axis = (row: number): number =>
      (world.linear[row] ?? []).reduce((sum, value, i) => sum + value * d.getComponent(i), 0) +
      (world.quadratic[row] ?? []).reduce((sum, value, i) => sum + value * (squares[i] ?? 0), 0);
    return new Vector3(axis(0), axis(1), axis(2));
  };
}
