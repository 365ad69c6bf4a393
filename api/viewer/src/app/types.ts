// What the API answers, as far as the page reads it (docs/api.md, /v1/openapi.json).

import type { Artifact as ViewArtifact, Measurement } from "../view/types";

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled";
export type Options = Record<string, unknown>;

export interface Page<Item> {
  items: Item[];
  next: string | null;
}

export interface Failure {
  code: string;
  message: string;
  remedy: string;
  stage?: string;
}

export interface Stage {
  name: string;
  state: "waiting" | "running" | "done" | "cached" | "failed" | "cancelled";
  shards: number;
  shards_done: number;
  fraction: number;
  message: string;
  started_s: number | null;
  ended_s: number | null;
}

export interface Job {
  id: string;
  capture_id: string;
  name: string;
  thumbnail: string | null;
  state: JobState;
  preset: string;
  config: Record<string, Options>;
  stage: string | null;
  stages: Stage[];
  progress: number;
  eta: { low_s: number; expected_s: number; high_s: number } | null;
  cost: { compute_s: number; price: number };
  error: Failure | null;
  created_s: number;
  started_s: number | null;
  ended_s: number | null;
  expires_s: number | null;
}

export interface Sample {
  images: number;
  blurred: number;
  dark: number;
  bright: number;
}

export interface Inspection {
  photos: number;
  videos: { source: string; width: number; height: number; duration_s: number | null }[];
  images_estimated: number;
  cameras: { camera: string; images: number; width: number; height: number }[];
  gps: { photos: number; east_west_m: number; north_south_m: number } | null;
  depth: { images: number } | null;
  first: string | null;
  ignored: { source: string; reason: string }[];
  warnings: string[];
  costs: { preset: string; minutes: number; memory_mb: number; disk_mb: number }[];
  preflight: { verdict: "yes" | "partly" | "no"; predicted_share: number; reason: string; remedy: string } | null;
}

export interface Capture {
  id: string;
  name: string;
  state: "open" | "ready" | "failed";
  files: number;
  size: number;
  created_s: number;
  inspection: Inspection | null;
  inspecting: boolean;
  error: Failure | null;
}

export interface UploadFile {
  id: string;
  name: string;
  size: number;
  state: "uploading" | "whole" | "damaged";
  part_bytes: number;
  parts_total: number;
  parts?: { number: number; size: number; etag: string }[];
}

export interface PartUrl {
  number: number;
  size: number;
  url: string;
  headers: Record<string, string>;
}

export interface Artifact extends ViewArtifact {
  id: string;
  media_type: string;
  url: string;
}

export interface ArtifactList {
  items: Artifact[];
  zip_url: string | null;
}

export interface SavedMeasurement extends Measurement {
  created_s: number;
}

export interface Share {
  id: string;
  name: string;
  created_s: number;
  expires_s: number;
  used_s: number | null;
  revoked_s: number | null;
}

export interface MadeShare extends Share {
  token: string;
  url: string;
}

export interface SharedJob {
  name: string;
  job_id: string;
  state: JobState;
  created_s: number;
  ended_s: number | null;
  expires_s: number;
  artifacts: Artifact[];
  zip_url: string | null;
  measurements: SavedMeasurement[];
}

export interface OptionsAnswer {
  presets: Record<string, Record<string, Options>>;
  options: Schema;
  stages: string[];
}

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
}

export interface Told {
  id: string;
  kind: string;
  told: Record<string, unknown>;
}

export interface Report {
  verdict?: { level: "green" | "amber" | "red"; headline: string; reasons: { level: string; text: string }[] };
  warnings?: { code: string; stage: string; message: string; remedy: string }[];
  images?: { given: number; used: number; registered: number };
  scale?: { metric: boolean; unit: string };
  points?: number;
  faces?: number;
}
