// What the viewer is given of a job: its files by URLs that need no key, and its measurements. One for owners, one for a share.

import type { Artifact as ViewArtifact, JobSource, Measurement, Measurements } from "../view/types";
import { type Api, local } from "./api";
import { h } from "./dom";
import type { Artifact, ArtifactList, SavedMeasurement } from "./types";

/** Artifacts with their URLs, which are asked for anew when they have expired. */
export class Files implements Pick<JobSource, "artifacts" | "onArtifacts" | "artifactUrl"> {
  items: Artifact[] = [];
  zipUrl: string | null = null;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly fetchList: () => Promise<ArtifactList>) {}

  async refresh(): Promise<void> {
    const { items, zip_url } = await this.fetchList();
    const before = this.items.map((item) => item.id).join();
    this.items = items;
    this.zipUrl = zip_url;
    if (items.map((item) => item.id).join() !== before) for (const listener of this.listeners) listener();
  }

  artifacts(): readonly ViewArtifact[] {
    return this.items;
  }

  find(name: string): Artifact | undefined {
    return this.items.find((item) => item.name === name);
  }

  onArtifacts(changed: () => void): () => void {
    this.listeners.add(changed);
    return () => this.listeners.delete(changed);
  }

  async artifactUrl(name: string, renew = false): Promise<string> {
    if (renew || !this.find(name)) await this.refresh();
    const item = this.find(name);
    if (!item) throw new Error(`${name} is not among the job's files`);
    return streamed(item.url);
  }
}

/** Through the API and never by a redirect to the store: the page's policy lets it read from its own origin only. */
export function streamed(url: string): string {
  return `${local(url)}&stream=1`;
}

export function savedMeasurements(api: Api, jobId: string): Measurements {
  const path = `v1/jobs/${jobId}/measurements`;
  return {
    writable: true,
    list: async () => (await api.get<{ items: SavedMeasurement[] }>(path)).items,
    save: (measurement: Omit<Measurement, "id">) => {
      const { kind, name, points, value, unit, metric } = measurement;
      return api.post<SavedMeasurement>(path, { kind, name, points, value, unit, metric });
    },
    rename: async (id, name) => void (await api.ask("PATCH", `${path}/${id}`, { name })),
    remove: async (id) => void (await api.ask("DELETE", `${path}/${id}`)),
    download: async (format) => save(await api.blob(`${path}.${format}`), `measurements.${format}`),
  };
}

/** Those of a share: `list` as it was last told. */
export function shownMeasurements(api: Api, items: () => readonly Measurement[]): Measurements {
  const refuse = (): Promise<never> => Promise.reject(new Error("A shared link shows measurements, and keeps none."));
  const download = async (format: string): Promise<void> => save(await api.blob(`v1/shared/measurements.${format}`), `measurements.${format}`);
  return { writable: false, list: () => Promise.resolve(items()), save: refuse, rename: refuse, remove: refuse, download };
}

function save(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
