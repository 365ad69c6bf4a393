// Artifacts over HTTP: whole or by ranges, with a new URL where one has run out and patience where the server asks for it.
import type { JobSource } from "./types";

const RUN_OUT = new Set([401, 403, 410]);
const FOR_A_WHILE = new Set([429, 502, 503, 504]);
const TRIES = 4;
const WAIT_MS = 600;

/** A file that could not be had, in words for people. */
export class FileError extends Error {
  constructor(
    readonly file: string,
    readonly status: number,
  ) {
    super(words(file, status));
  }
}

export class Files {
  readonly #job: JobSource;
  readonly #end = new AbortController();
  readonly #urls = new Map<string, Promise<string>>();

  constructor(job: JobSource) {
    this.#job = job;
  }

  has(name: string): boolean {
    return this.#job.artifacts().some((artifact) => artifact.name === name);
  }

  /** Of a file that is there [bytes]. */
  size(name: string): number {
    return this.#job.artifacts().find((artifact) => artifact.name === name)?.size ?? 0;
  }

  async json<T>(name: string): Promise<T> {
    return (await (await this.#get(name)).json()) as T;
  }

  async whole(name: string): Promise<ArrayBuffer> {
    return (await this.#get(name)).arrayBuffer();
  }

  async url(name: string): Promise<string> {
    return this.#url(name, false);
  }

  /** Bytes from begin up to end, which is not among them. */
  async part(name: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const response = await this.#get(name, `bytes=${begin}-${end - 1}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    return response.status === 200 ? bytes.slice(begin, end) : bytes; // a server without ranges sends all of it
  }

  /** Ends what is under way; those who wait get an AbortError. */
  dispose(): void {
    this.#end.abort();
  }

  get ended(): boolean {
    return this.#end.signal.aborted;
  }

  #url(name: string, renew: boolean): Promise<string> {
    let url = renew ? undefined : this.#urls.get(name);
    if (!url) {
      url = this.#job.artifactUrl(name, renew);
      this.#urls.set(name, url);
      url.catch(() => this.#urls.delete(name));
    }
    return url;
  }

  async #get(name: string, range?: string): Promise<Response> {
    let status = 0;
    let renewed = false;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const signal = this.#end.signal;
      signal.throwIfAborted();
      try {
        const asked = this.#url(name, false);
        const response = await fetch(await asked, { signal, credentials: "omit", ...(range ? { headers: { Range: range } } : {}) });
        if (response.ok) {
          // further ranges go straight to the object store that the first was led to
          if (range && response.redirected) this.#urls.set(name, Promise.resolve(response.url));
          return response;
        }
        status = response.status;
        const waitMs = Number(response.headers.get("Retry-After")) * 1000;
        if (RUN_OUT.has(status) && !renewed) {
          renewed = true;
          await this.#url(name, this.#urls.get(name) === asked); // another request may have renewed it meanwhile
        } else if (FOR_A_WHILE.has(status)) await pause(waitMs || WAIT_MS * 2 ** attempt, signal);
        else break;
      } catch (error) {
        if (signal.aborted || !(error instanceof TypeError)) throw error; // fetch calls a lost connection so
        status = 0;
        await pause(WAIT_MS * 2 ** attempt, signal);
      }
    }
    throw new FileError(name, status);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason as Error)), { once: true });
  });
}

function words(file: string, status: number): string {
  if (status === 404 || status === 410) return `${file} is no longer there. Run the job again to make it anew.`;
  if (status === 401 || status === 403) return `${file} may not be read: the link or key has run out. Open the page again.`;
  if (status === 0) return `${file} could not be loaded: the connection is lost.`;
  return `${file} could not be loaded: the server is busy (${status}). Try again in a while.`;
}
