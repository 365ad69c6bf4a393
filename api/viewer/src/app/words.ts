// What the service's own words mean to somebody who films.

import type { JobState } from "./types";

const STAGES: Record<string, string> = {
  source: "Collecting the files",
  ingest: "Reading photos and videos",
  select: "Choosing the best images",
  features: "Finding details in the images",
  pairs: "Choosing images to compare",
  matches: "Comparing images",
  sfm: "Placing the cameras",
  recover: "Connecting what came apart",
  georef: "Scaling and levelling",
  trajectory: "Placing every frame of the videos",
  undistort: "Straightening the images",
  preview: "Making an early preview",
  depth: "Measuring depth",
  fuse: "Joining depths into a cloud",
  sample: "Preparing the surface",
  surface: "Laying the surface",
  mesh: "Finishing the mesh",
  texture: "Painting the mesh with photos",
  products: "Writing the files",
  report: "Writing the report",
};

export function stageWords(name: string): string {
  return STAGES[name] ?? name;
}

export const STATES: Record<JobState, string> = {
  queued: "Waiting for its turn",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

export const PRESETS: Record<string, { name: string; about: string }> = {
  fast: { name: "Fast", about: "A first look: smaller images, coarser mesh" },
  default: { name: "Standard", about: "Right for most captures" },
  high: { name: "High", about: "Every detail; needs much more time and memory" },
};

const FILES: [RegExp, string][] = [
  [/^mesh\.glb$/, "Textured mesh, one file (glTF)"],
  [/^points\.laz$/, "Point cloud for GIS and CAD (COPC LAZ)"],
  [/^points\.ply$/, "Point cloud (PLY)"],
  [/^mesh\.obj$/, "Textured mesh (OBJ)"],
  [/^mesh\.mtl$/, "Materials of the OBJ"],
  [/^mesh_\d+\.(jpg|png)$/, "Texture of the OBJ"],
  [/^report\.html$/, "Report to read"],
  [/^report\.json$/, "Report for programs"],
  [/^preview\.png$/, "Picture"],
  [/^thumbnail\.jpg$/, "Small picture"],
  [/^turntable\.mp4$/, "Turntable video"],
  [/^cameras\.csv$/, "Cameras as a table"],
  [/^cameras\//, "Cameras (COLMAP)"],
  [/^transforms\.json$/, "Cameras (nerfstudio)"],
  [/^photos\./, "Small photos with their cameras"],
  [/^products\.json$/, "List of the files"],
  [/^preview\/sparse\.ply$/, "Preview: sparse cloud"],
  [/^preview\/points\.ply$/, "Preview: coarse cloud"],
];

/** Where it stands in a list: what most people want first. */
export function fileRank(name: string): number {
  const at = FILES.findIndex(([pattern]) => pattern.test(name));
  return at < 0 ? FILES.length : at;
}

export function fileWords(name: string): string {
  return FILES.find(([pattern]) => pattern.test(name))?.[1] ?? "";
}
