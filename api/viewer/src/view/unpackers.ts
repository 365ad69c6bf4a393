// The workers that unpack chunks, as functions that promise.
import type { Answer, Chunk, Unpacked } from "./decode";

const MOST = 3;

export class Unpackers {
  readonly #workers: Worker[] = [];
  readonly #waiting = new Map<number, { resolve: (found: Unpacked) => void; reject: (reason: Error) => void }>();
  #last = 0;

  constructor() {
    const count = Math.max(1, Math.min(MOST, (navigator.hardwareConcurrency || 2) - 1));
    for (let i = 0; i < count; i++) {
      const worker = new Worker(new URL("./decode.js", import.meta.url), { type: "module" });
      worker.onmessage = (event: MessageEvent<Answer>) => this.#answer(event.data);
      worker.onerror = () => this.#fail(new Error("the decoder of point clouds could not be started"));
      this.#workers.push(worker);
    }
  }

  get count(): number {
    return this.#workers.length;
  }

  unpack(chunk: Omit<Chunk, "id">): Promise<Unpacked> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      const worker = this.#workers[id % this.#workers.length];
      worker?.postMessage({ ...chunk, id }, [chunk.packed]);
    });
  }

  dispose(): void {
    this.#workers.forEach((worker) => worker.terminate());
    this.#fail(new DOMException("the viewer is closed", "AbortError"));
  }

  #answer(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ("error" in answer) waiting?.reject(new Error(answer.error));
    else waiting?.resolve(answer);
  }

  #fail(reason: Error): void {
    this.#waiting.forEach((waiting) => waiting.reject(reason));
    this.#waiting.clear();
  }
}
