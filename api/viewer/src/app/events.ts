// A job's events as they come: a stream read by fetch, since the browser's own reader can't send the key as a header.

import { type Api, OFFLINE, Problem, address, problemOf, sleep, tellTrouble } from "./api";
import type { Told } from "./types";

/** Calls `take` with every event until the job ends or the signal aborts; comes back where it was cut, and misses none. */
export async function follow(api: Api, jobId: string, take: (told: Told) => void, signal: AbortSignal): Promise<void> {
  let last = "";
  for (let waitMs = 500; !signal.aborted; waitMs = Math.min(10_000, 2 * waitMs)) {
    try {
      const headers: Record<string, string> = { ...api.headers, Accept: "text/event-stream" };
      if (last) headers["Last-Event-ID"] = last;
      const answer = await fetch(address(`v1/jobs/${jobId}/events`), { headers, signal, cache: "no-store" });
      if (answer.status === 204) return;
      if (!answer.ok || !answer.body) throw await problemOf(answer);
      tellTrouble(null);
      for await (const told of read(answer.body)) {
        last = told.id;
        waitMs = 500;
        take(told);
        if (told.kind === "job" && ["done", "failed", "cancelled"].includes(String(told.told["state"]))) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status !== 429 && error.status < 500) throw error;
      if (!(error instanceof Problem)) tellTrouble({ kind: "offline", text: OFFLINE });
      if (error instanceof Problem && error.waitS) waitMs = 1000 * error.waitS;
    }
    await sleep(waitMs, signal).catch(() => {});
  }
}

export async function* read(body: ReadableStream<Uint8Array>): AsyncGenerator<Told> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (text + value).split(/\r\n\r\n|\n\n/);
      text = lines.pop() ?? "";
      for (const block of lines) {
        const told = parse(block);
        if (told) yield told;
      }
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

function parse(block: string): Told | null {
  const fields: Record<string, string> = {};
  for (const line of block.split(/\r\n|\n/)) {
    const at = line.indexOf(":");
    if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).trimStart();
  }
  if (!fields["data"] || !fields["id"]) return null;
  return { id: fields["id"], kind: fields["event"] ?? "", told: JSON.parse(fields["data"]) as Record<string, unknown> };
}
