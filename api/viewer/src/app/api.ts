// Requests to the API. Refusals are Problems with words and a remedy; whether the service can be reached is told to whoever listens.

import { duration } from "./format";

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly remedy: string,
    readonly waitS = 0,
  ) {
    super(remedy ? `${sentence(detail)} ${sentence(remedy)}` : sentence(detail));
  }
}

export type Trouble = { kind: "offline" | "busy"; text: string } | null;

/** Where the page lies: it works below any path. */
const BASE = new URL(".", document.baseURI);
const TRIES = 4;

export function address(path: string): string {
  return new URL(path.replace(/^\//, ""), BASE).href;
}

/** A URL of the API as this page reaches it: behind a proxy the API may believe that it is somewhere else. */
export function local(url: string): string {
  const at = url.indexOf("/v1/");
  return at < 0 ? url : address(url.slice(at));
}

let trouble: Trouble = null;
const listeners = new Set<(trouble: Trouble) => void>();

export function onTrouble(listener: (trouble: Trouble) => void): void {
  listeners.add(listener);
}

export function tellTrouble(now: Trouble): void {
  if (now?.text === trouble?.text) return;
  trouble = now;
  for (const listener of listeners) listener(now);
}

addEventListener("offline", () => tellTrouble({ kind: "offline", text: OFFLINE }));
addEventListener("online", () => tellTrouble(null));

export const OFFLINE = "The service can't be reached. What you see may be old; it goes on by itself once the connection is back.";

export class Api {
  /** Called when the key holds no longer. */
  onRefused: (problem: Problem) => void = () => {};

  constructor(readonly key: string) {}

  get headers(): Record<string, string> {
    return { Authorization: `Bearer ${this.key}` };
  }

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.ask<T>("GET", path, undefined, signal);
  }

  post<T>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> {
    return this.ask<T>("POST", path, body, signal);
  }

  /** Deletes, even if the page is being closed. What is gone already is as good. */
  async remove(path: string): Promise<void> {
    const answer = await fetch(address(path), { method: "DELETE", headers: this.headers, keepalive: true }).catch(() => {
      throw new Problem(0, "offline", "the service can't be reached", "Check the connection");
    });
    if (!answer.ok && answer.status !== 404) throw await problemOf(answer);
  }

  /** JSON of the answer. Asked again where it is safe: a GET that found nobody, and anything that was told to wait. */
  async ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        return (await this.once(method, path, body, signal)) as T;
      } catch (error) {
        if (!(error instanceof Problem) || tried >= TRIES || signal?.aborted) throw error;
        const mayAgain = error.status === 429 || error.status === 503 || (error.status === 0 && method === "GET");
        if (!mayAgain || error.waitS > 20) throw error;
        await sleep(1000 * Math.max(error.waitS, 0.4 * 2 ** tried), signal);
      }
    }
  }

  private async once(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<unknown> {
    const asked: RequestInit = { method, headers: { ...this.headers, Accept: "application/json" }, cache: "no-store" };
    if (signal) asked.signal = signal;
    if (body !== undefined) {
      asked.headers = { ...asked.headers, "Content-Type": "application/json" };
      asked.body = JSON.stringify(body);
    }
    let answer: Response;
    try {
      answer = await fetch(address(path), asked);
    } catch (error) {
      if (signal?.aborted) throw error;
      tellTrouble({ kind: "offline", text: OFFLINE });
      throw new Problem(0, "offline", "the service can't be reached", "Check the connection");
    }
    if (answer.ok) {
      tellTrouble(null);
      return answer.status === 204 ? null : answer.json();
    }
    const problem = await problemOf(answer);
    if (problem.status === 429 || problem.status === 503) tellTrouble({ kind: "busy", text: problem.message });
    else tellTrouble(null);
    if (problem.status === 401) this.onRefused(problem);
    throw problem;
  }

  /** A file as bytes that only we can see, for pictures and downloads that need the key. */
  async blob(path: string): Promise<Blob> {
    const answer = await fetch(address(path), { headers: this.headers });
    if (!answer.ok) throw await problemOf(answer);
    return answer.blob();
  }
}

export async function problemOf(answer: Response): Promise<Problem> {
  const waitS = Number(answer.headers.get("Retry-After") ?? 0) || 0;
  let told: { code?: string; detail?: string; remedy?: string } = {};
  try {
    told = await answer.json();
  } catch {
    // a proxy's own page, not ours
  }
  const code = told.code ?? "http";
  const words = WORDS[answer.status];
  if (answer.status === 429 || answer.status === 503) {
    const wait = waitS ? `It goes on in ${duration(waitS)}` : "It goes on by itself";
    return new Problem(answer.status, code, words ?? told.detail ?? "", wait, waitS || 1);
  }
  return new Problem(answer.status, code, told.detail ?? words ?? `the service answered ${answer.status}`, told.remedy ?? "", waitS);
}

const WORDS: Record<number, string> = {
  401: "the key is not valid",
  403: "this is not allowed with your key",
  404: "this does not exist, or was deleted",
  413: "this is larger than the service takes",
  429: "the service asks to go more slowly",
  500: "the service made a mistake",
  502: "the service's storage gave no answer",
  503: "the service is busy or starting",
  507: "the service's disk is full",
};

export function sentence(text: string): string {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
