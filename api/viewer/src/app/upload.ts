// One capture's upload. What has arrived the service knows, part by part: after a reload the same files are chosen again, and only
// what is missing is sent. Parts go several at once, each with its SHA-256 where the browser can compute one.

import { type Api, OFFLINE, Problem, local, problemOf, sleep, tellTrouble, wordsOf } from "./api";
import type { Chosen } from "./files";
import type { Capture, PartUrl, UploadFile } from "./types";

const LANES = 4;
const AT_ONCE = 500;
const WINDOW_MS = 8000;
const TRIES = 6;
const SMALL_STEP_MS = 200;

export type UploadState = "checking" | "sending" | "waiting" | "paused" | "finishing" | "done" | "failed";

export interface UploadProgress {
  state: UploadState;
  sent: number;
  total: number;
  files: number;
  filesDone: number;
  /** Bytes a second over the last seconds; 0 while nothing is known. */
  speed: number;
  leftS: number | null;
  error: string;
}

interface Pending {
  chosen: Chosen;
  row: UploadFile;
  numbers: number[];
  arrived: number;
  left: number;
}

export class Upload {
  readonly progress: UploadProgress = { state: "checking", sent: 0, total: 0, files: 0, filesDone: 0, speed: 0, leftS: null, error: "" };
  private readonly listeners = new Set<() => void>();
  private readonly stopping = new AbortController();
  private readonly flying = new Map<string, number>();
  private readonly past: [number, number][] = [];
  private arrived = 0;
  private toldMs = 0;
  private later = 0;
  private resume: (() => void) | null = null;

  constructor(
    private readonly api: Api,
    readonly captureId: string,
    private readonly files: Chosen[],
  ) {}

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get isLive(): boolean {
    return !["done", "failed"].includes(this.progress.state);
  }

  pause(): void {
    if (this.progress.state === "sending" || this.progress.state === "waiting") this.tell({ state: "paused" });
  }

  goOn(): void {
    if (this.progress.state !== "paused") return;
    this.tell({ state: "sending" });
    this.resume?.();
    this.resume = null;
  }

  stop(): void {
    this.stopping.abort();
  }

  /** To the end: all files there, and the capture complete. Its errors are in `progress`. */
  async run(): Promise<boolean> {
    try {
      const pending = await this.declare();
      this.tell({ state: "sending" });
      await this.send(pending);
      this.tell({ state: "finishing" });
      await this.api.post<Capture>(`v1/captures/${this.captureId}/complete`);
      this.tell({ state: "done", sent: this.progress.total, leftS: 0 });
      return true;
    } catch (error) {
      if (!this.stopping.signal.aborted) this.tell({ state: "failed", error: wordsOf(error) });
      return false;
    }
  }

  /** Tells the service all names and sizes; what it has already is not sent again. */
  private async declare(): Promise<Pending[]> {
    const pending: Pending[] = [];
    this.tell({ total: this.files.reduce((sum, { file }) => sum + file.size, 0), files: this.files.length });
    for (let start = 0; start < this.files.length; start += AT_ONCE) {
      const some = this.files.slice(start, start + AT_ONCE);
      const wanted = some.map(({ name, file }) => ({ name: name.normalize("NFC"), size: file.size }));
      const { files } = await this.api.post<{ files: UploadFile[] }>(`v1/captures/${this.captureId}/files`, { files: wanted }, this.stopping.signal);
      for (const [index, row] of files.entries()) {
        const chosen = some[index];
        if (chosen) pending.push(...(await this.missing(chosen, row)));
      }
    }
    return pending;
  }

  private async missing(chosen: Chosen, row: UploadFile): Promise<Pending[]> {
    if (row.state === "whole") {
      this.arrived += row.size;
      this.tell({ filesDone: this.progress.filesDone + 1 });
      return [];
    }
    const isOld = Date.now() / 1000 - (row as UploadFile & { created_s: number }).created_s > 5;
    const known = isOld ? ((await this.api.get<UploadFile>(`v1/files/${row.id}`, this.stopping.signal)).parts ?? []) : [];
    const first = known[0];
    if (first && !(await isSame(chosen.file, row, first))) {
      throw new Error(`${chosen.name} is another file than the one whose upload was begun: choose that one, or delete this upload.`);
    }
    const there = new Set(known.map((part) => part.number));
    const arrived = known.reduce((sum, part) => sum + part.size, 0);
    this.arrived += arrived;
    this.tell({});
    const numbers = Array.from({ length: row.parts_total }, (_, index) => index + 1).filter((number) => !there.has(number));
    return [{ chosen, row, numbers, arrived, left: numbers.length }];
  }

  private async send(pending: Pending[]): Promise<void> {
    const work = pending.flatMap((file) => (file.numbers.length ? file.numbers.map((number) => ({ file, number })) : [{ file, number: 0 }]));
    const lane = async (): Promise<void> => {
      for (let next = work.shift(); next; next = work.shift()) {
        if (next.number) await this.part(next.file, next.number);
        if (next.number === 0 || (next.file.left -= 1) === 0) await this.complete(next.file);
      }
    };
    const lanes = Array.from({ length: LANES }, lane);
    try {
      await Promise.all(lanes);
    } catch (error) {
      this.stopping.abort();
      await Promise.allSettled(lanes);
      this.tell({ state: "failed", error: wordsOf(error) });
      throw error;
    }
  }

  private async complete({ row }: Pending): Promise<void> {
    await this.api.post(`v1/files/${row.id}/complete`, {}, this.stopping.signal);
    this.tell({ filesDone: this.progress.filesDone + 1 });
  }

  /** One part, tried again through cuts of any length; refusals that would come again end the upload. */
  private async part(file: Pending, number: number): Promise<void> {
    const { row, chosen } = file;
    const start = (number - 1) * row.part_bytes;
    const piece = chosen.file.slice(start, Math.min(row.size, start + row.part_bytes));
    for (let tried = 0; ; ) {
      await this.mayGo();
      try {
        const sha256 = await digest(piece, chosen.name);
        const body = { numbers: [number], sha256: sha256 ? { [number]: sha256 } : {} };
        const { parts } = await this.api.post<{ parts: PartUrl[] }>(`v1/files/${row.id}/parts`, body, this.stopping.signal);
        const to = parts[0];
        if (!to) throw new Error("the service named no place for a part");
        await this.put(`${row.id}/${number}`, to, piece);
        this.arrived += piece.size;
        this.flying.delete(`${row.id}/${number}`);
        this.tell({ state: this.progress.state === "waiting" ? "sending" : this.progress.state });
        return;
      } catch (error) {
        this.flying.delete(`${row.id}/${number}`);
        if (this.stopping.signal.aborted || !(error instanceof Problem)) throw error;
        const isCut = error.status === 0;
        const mayPass = isCut || [400, 403, 429, 500, 502, 503].includes(error.status);
        if (!isCut) tried += 1;
        if (!mayPass || tried >= TRIES) throw error;
        if (this.progress.state === "sending") this.tell({ state: "waiting", speed: 0, leftS: null });
        await this.calm(Math.max(error.waitS * 1000, 1000 * Math.min(2 ** tried, 15)));
      }
    }
  }

  private async mayGo(): Promise<void> {
    while (this.progress.state === "paused") {
      await new Promise<void>((resolve) => {
        const before = this.resume;
        this.resume = () => {
          before?.();
          resolve();
        };
        this.stopping.signal.addEventListener("abort", () => resolve());
      });
    }
    this.stopping.signal.throwIfAborted();
  }

  /** A while, or until the connection is back. */
  private async calm(ms: number): Promise<void> {
    let back = (): void => {};
    const online = new Promise<void>((resolve) => {
      back = () => resolve();
      addEventListener("online", back, { once: true });
    });
    await Promise.race([sleep(ms, this.stopping.signal), online]);
    removeEventListener("online", back);
  }

  /** XMLHttpRequest and not fetch: it alone says how much has gone. */
  private put(id: string, to: PartUrl, piece: Blob): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const abort = (): void => request.abort();
      this.stopping.signal.addEventListener("abort", abort);
      request.upload.onprogress = ({ loaded }) => {
        this.flying.set(id, Math.min(loaded, piece.size));
        this.tell({});
      };
      request.onloadend = () => this.stopping.signal.removeEventListener("abort", abort);
      request.onload = () => {
        if (request.status >= 200 && request.status < 300) return resolve();
        const wait = request.getResponseHeader("Retry-After");
        void problemOf(new Response(request.responseText, { status: request.status, headers: wait ? { "Retry-After": wait } : {} })).then(reject);
        return undefined;
      };
      request.onerror = () => {
        tellTrouble({ kind: "offline", text: OFFLINE });
        reject(new Problem(0, "offline", "the connection was cut", ""));
      };
      request.onabort = () => reject(new DOMException("stopped", "AbortError"));
      request.open("PUT", to.url.includes("/v1/parts/") ? local(to.url) : to.url);
      for (const [name, value] of Object.entries(to.headers)) request.setRequestHeader(name, value);
      request.send(piece);
    });
  }

  private tell(change: Partial<UploadProgress>): void {
    Object.assign(this.progress, change);
    const sent = this.arrived + [...this.flying.values()].reduce((sum, size) => sum + size, 0);
    if (this.progress.state !== "done") this.progress.sent = Math.min(sent, this.progress.total);
    const nowMs = performance.now();
    if (!("state" in change) && nowMs - this.toldMs < SMALL_STEP_MS) {
      this.later ||= setTimeout(() => this.tell({}), SMALL_STEP_MS) as unknown as number;
      return;
    }
    clearTimeout(this.later);
    this.later = 0;
    this.toldMs = nowMs;
    if (this.progress.state === "sending") this.measure(nowMs, sent);
    else this.past.length = 0;
    for (const listener of this.listeners) listener();
  }

  private measure(nowMs: number, sent: number): void {
    this.past.push([nowMs, sent]);
    while (this.past.length > 2 && nowMs - (this.past[0]?.[0] ?? 0) > WINDOW_MS) this.past.shift();
    const [sinceMs, before] = this.past[0] ?? [nowMs, sent];
    this.progress.speed = nowMs - sinceMs > 500 ? (1000 * (sent - before)) / (nowMs - sinceMs) : 0;
    this.progress.leftS = this.progress.speed > 0 ? (this.progress.total - sent) / this.progress.speed : null;
  }
}

/** Hex SHA-256; null where the page came by plain HTTP from another machine, where browsers compute none. */
async function digest(piece: Blob, name: string): Promise<string | null> {
  let content: ArrayBuffer;
  try {
    content = await piece.arrayBuffer();
  } catch {
    throw new Error(`${name} can't be read any more: was it moved or changed? Choose it again.`);
  }
  if (!globalThis.crypto?.subtle) return null;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether a part that has arrived is of this file, as far as the store says what arrived. */
async function isSame(file: File, row: UploadFile, part: { number: number; size: number; etag: string }): Promise<boolean> {
  if (!/^[0-9a-f]{64}$/.test(part.etag)) return true;
  const start = (part.number - 1) * row.part_bytes;
  const found = await digest(file.slice(start, start + part.size), file.name);
  return found === null || found === part.etag;
}

/** Uploads of this page, by capture: they go on while other pages are looked at. */
export const uploads = new Map<string, Upload>();
const watchers = new Set<() => void>();

export function onUploads(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export function startUpload(api: Api, captureId: string, files: Chosen[]): Upload {
  const upload = new Upload(api, captureId, files);
  uploads.set(captureId, upload);
  const tell = (): void => {
    for (const watcher of watchers) watcher();
  };
  upload.onChange(tell);
  void upload.run().finally(() => {
    if (upload.progress.state === "done") uploads.delete(captureId);
    tell();
  });
  return upload;
}

addEventListener("beforeunload", (event) => {
  if ([...uploads.values()].some((upload) => upload.isLive)) event.preventDefault();
});
