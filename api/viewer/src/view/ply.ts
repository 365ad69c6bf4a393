// Binary little-endian PLY of points, as previews are written: x y z float, colours uchar, and what else there is.
import type { Unpacked } from "./decode";

const BYTES: Record<string, number> = { char: 1, uchar: 1, int8: 1, uint8: 1, short: 2, ushort: 2, int: 4, uint: 4, float: 4, float32: 4, double: 8, float64: 8 };

export interface PlyPoints extends Omit<Unpacked, "id"> {
  readonly has: { readonly normal: boolean; readonly confidence: boolean; readonly views: boolean };
}

export function parsePly(buffer: ArrayBuffer): PlyPoints {
  const { count, start, recordBytes, fields } = header(buffer);
  const position = new Float32Array(count * 3);
  const tint = new Uint8Array(count * 4);
  const facing = new Int8Array(count * 4);
  const view = new DataView(buffer, start);
  if (view.byteLength < count * recordBytes) throw new Error("the preview's file is cut off");
  const read = (name: string): ((at: number) => number) | null => {
    const field = fields.get(name);
    if (!field) return null;
    const { offset, kind } = field;
    if (kind === "float" || kind === "float32") return (at) => view.getFloat32(at + offset, true);
    if (kind === "double" || kind === "float64") return (at) => view.getFloat64(at + offset, true);
    if (BYTES[kind] === 1) return (at) => view.getUint8(at + offset);
    return null;
  };
  const [xyz, normal, rgb] = [["x", "y", "z"], ["nx", "ny", "nz"], ["red", "green", "blue"]].map((names) => names.map(read));
  const [confidence, views] = [read("confidence"), read("views")];
  for (let i = 0, at = 0; i < count; i++, at += recordBytes) {
    for (let axis = 0; axis < 3; axis++) {
      position[i * 3 + axis] = xyz?.[axis]?.(at) ?? 0;
      tint[i * 4 + axis] = rgb?.[axis]?.(at) ?? 160;
      facing[i * 4 + axis] = 127 * (normal?.[axis]?.(at) ?? 0);
    }
    tint[i * 4 + 3] = views?.(at) ?? 0;
    facing[i * 4 + 3] = 127 * (confidence?.(at) ?? 1);
  }
  return { position, tint, facing, has: { normal: Boolean(normal?.[0]), confidence: confidence !== null, views: views !== null } };
}

function header(buffer: ArrayBuffer): { count: number; start: number; recordBytes: number; fields: Map<string, { offset: number; kind: string }> } {
  const text = new TextDecoder("latin1").decode(new Uint8Array(buffer, 0, Math.min(buffer.byteLength, 4096)));
  const end = text.indexOf("end_header");
  if (!text.startsWith("ply") || end < 0 || !text.includes("binary_little_endian")) throw new Error("the preview is no PLY that this page reads");
  const fields = new Map<string, { offset: number; kind: string }>();
  let [count, recordBytes, inVertex] = [0, 0, false];
  for (const line of text.slice(0, end).split("\n")) {
    const [word, kind = "", name = ""] = line.trim().split(/\s+/);
    if (word === "element") {
      inVertex = kind === "vertex";
      if (inVertex) count = Number(name);
    } else if (word === "property" && inVertex) {
      fields.set(name, { offset: recordBytes, kind });
      recordBytes += BYTES[kind] ?? 0;
    }
  }
  return { count, start: text.indexOf("\n", end) + 1, recordBytes, fields };
}
