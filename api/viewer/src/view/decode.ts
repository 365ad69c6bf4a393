// The worker that unpacks chunks of a COPC: LAZ bytes in, arrays for the GPU out. It keeps nothing.
import createLazPerf from "../../node_modules/laz-perf/lib/worker/laz-perf.js";
import wasm from "../../node_modules/laz-perf/lib/worker/laz-perf.wasm";
import type { WorldFromLaz } from "./place";

export interface Chunk {
  readonly id: number;
  readonly packed: ArrayBuffer;
  readonly count: number;
  readonly format: number;
  readonly recordBytes: number;
  readonly scale: readonly number[];
  readonly offset: readonly number[];
  readonly world: WorldFromLaz | null;
  /** Positions are relative to it. */
  readonly center: readonly number[];
  /** Where in a record fields begin; -1: not there. */
  readonly fields: { readonly confidence: number; readonly views: number; readonly normal: number; readonly rgb: number };
}

export interface Unpacked {
  readonly id: number;
  /** (N, 3) float32, relative to the chunk's center. */
  readonly position: Float32Array<ArrayBuffer>;
  /** (N, 4): red, green, blue, views. */
  readonly tint: Uint8Array<ArrayBuffer>;
  /** (N, 4): normal times 127, confidence times 127. */
  readonly facing: Int8Array<ArrayBuffer>;
}

export type Answer = Unpacked | { readonly id: number; readonly error: string };

const GOLDEN = 0.6180339887498949;
const ready = createLazPerf({ locateFile: () => new URL(wasm, import.meta.url).href });

self.onmessage = async (event: MessageEvent<Chunk>) => {
  const chunk = event.data;
  try {
    const found = unpack(await ready, chunk);
    const parts = [found.position.buffer, found.tint.buffer, found.facing.buffer];
    self.postMessage(found, { transfer: parts });
  } catch (error) {
    self.postMessage({ id: chunk.id, error: String(error) });
  }
};

function unpack(laz: Awaited<typeof ready>, chunk: Chunk): Unpacked {
  const { count, recordBytes, fields } = chunk;
  const position = new Float32Array(count * 3);
  const tint = new Uint8Array(count * 4);
  const facing = new Int8Array(count * 4);
  const packed = laz._malloc(chunk.packed.byteLength);
  const at = laz._malloc(recordBytes);
  const decoder = new laz.ChunkDecoder();
  const place = placer(chunk);
  const step = stride(count);
  try {
    laz.HEAPU8.set(new Uint8Array(chunk.packed), packed);
    decoder.open(chunk.format, recordBytes, packed);
    let view = new DataView(laz.HEAPU8.buffer);
    // neighbours in the file are neighbours in space: strides of the golden section spread them, so that any first part is even
    for (let i = 0, to = 0; i < count; i++, to = (to + step) % count) {
      decoder.getPoint(at);
      if (view.buffer !== laz.HEAPU8.buffer) view = new DataView(laz.HEAPU8.buffer);
      place(view.getInt32(at, true), view.getInt32(at + 4, true), view.getInt32(at + 8, true), position, to * 3);
      for (let channel = 0; channel < 3; channel++) {
        tint[to * 4 + channel] = fields.rgb < 0 ? 160 : view.getUint8(at + fields.rgb + channel * 2 + 1);
        facing[to * 4 + channel] = fields.normal < 0 ? 0 : view.getInt8(at + fields.normal + channel);
      }
      tint[to * 4 + 3] = fields.views < 0 ? 0 : view.getUint8(at + fields.views);
      facing[to * 4 + 3] = fields.confidence < 0 ? 127 : 127 * view.getFloat32(at + fields.confidence, true);
    }
  } finally {
    decoder.delete();
    laz._free(packed);
    laz._free(at);
  }
  return { id: chunk.id, position, tint, facing };
}

/** Writes the world's coordinates of a record, relative to the chunk's center. */
function placer(chunk: Chunk): (x: number, y: number, z: number, to: Float32Array, at: number) => void {
  const [sx = 1, sy = 1, sz = 1] = chunk.scale;
  const [cx = 0, cy = 0, cz = 0] = chunk.center;
  const from = chunk.world?.origin ?? [0, 0, 0];
  const [ox, oy, oz] = chunk.offset.map((value, axis) => value - (from[axis] ?? 0)) as [number, number, number];
  if (!chunk.world) {
    return (x, y, z, to, at) => {
      to[at] = x * sx + ox - cx;
      to[at + 1] = y * sy + oy - cy;
      to[at + 2] = z * sz + oz - cz;
    };
  }
  const rows = chunk.world.linear.map((row, axis) => [...row, ...(chunk.world?.quadratic[axis] ?? [])] as Row);
  const [a, b, c] = rows as [Row, Row, Row];
  return (x, y, z, to, at) => {
    const [e, n, h] = [x * sx + ox, y * sy + oy, z * sz + oz];
    to[at] = polynomial(a, e, n, h) - cx;
    to[at + 1] = polynomial(b, e, n, h) - cy;
    to[at + 2] = polynomial(c, e, n, h) - cz;
  };
}

type Row = [number, number, number, number, number, number, number, number];

function polynomial(row: Row, e: number, n: number, h: number): number {
  return row[0] * e + row[1] * n + row[2] * h + row[3] * e * e + row[4] * e * n + row[5] * n * n + row[6] * e * h + row[7] * n * h;
}

/** Near the golden section of count and without a common factor with it: stepping so far visits each place once. */
function stride(count: number): number {
  let step = Math.max(1, Math.round(count * GOLDEN));
  while (greatestDivisor(step, count) !== 1) step++;
  return step;
}

function greatestDivisor(a: number, b: number): number {
  return b ? greatestDivisor(b, a % b) : a;
}
