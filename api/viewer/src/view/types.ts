// What the page hands the viewer and what the viewer hands back. The page knows the API; the viewer knows only this.

export interface Artifact {
  readonly name: string;
  readonly kind: "result" | "preview";
  readonly size: number;
}

export type MeasureKind = "distance" | "height" | "area" | "profile";

/** A measurement as it is stored: points in the model's world frame (z up), value in `unit`: m, m², units, units². */
export interface Measurement {
  readonly id: string;
  readonly kind: MeasureKind;
  readonly name: string;
  readonly points: readonly (readonly [number, number, number])[];
  readonly value: number;
  readonly unit: string;
  /** Whether the unit is a true length: false says "arbitrary units" wherever the value is shown. */
  readonly metric: boolean;
}

export interface Measurements {
  /** False on a shared link: measuring works, and nothing is kept. */
  readonly writable: boolean;
  list(): Promise<readonly Measurement[]>;
  save(measurement: Omit<Measurement, "id">): Promise<Measurement>;
  rename(id: string, name: string): Promise<void>;
  remove(id: string): Promise<void>;
  /** Saves all that is stored as a file on the user's machine. */
  download(format: "csv" | "geojson"): Promise<void>;
}

/** A job as the viewer sees it. */
export interface JobSource {
  readonly jobId: string;
  /** Results and previews there are now; those of a job that runs grow. */
  artifacts(): readonly Artifact[];
  /** Calls back whenever `artifacts()` has changed, until the function it returns is called. */
  onArtifacts(changed: () => void): () => void;
  /**
   * A URL that needs no key, takes `Range`, and may lead elsewhere by a redirect. `renew` asks for a new one: the viewer
   * does so once when the server answers 401, 403 or 410.
   */
  artifactUrl(name: string, renew?: boolean): Promise<string>;
  readonly measurements: Measurements;
}

export interface Viewer {
  /** Where a point of the world (z up) is on the screen: client pixels; null behind the eye. */
  project(point: readonly [number, number, number]): [number, number] | null;
  /** Ends every request, worker and GPU resource; the element is empty afterwards. */
  dispose(): void;
}

/** The element should have a size; it also gets the property `viewer`, for scripts and tests, and `data-state`. */
export type MountViewer = (root: HTMLElement, job: JobSource) => Promise<Viewer>;
export type LoadViewer = () => Promise<{ mountViewer: MountViewer }>;

/*
What the viewer reads of the artifacts, each where it is there:
  products.json             frame, unit, metric, crs, origin
  points.laz                a COPC, streamed; else the largest preview that is a .ply (sparse, then coarse dense)
  mesh.glb                  the textured mesh
  photos.json, photos.zip   cameras with small undistorted pictures, read by byte ranges; else transforms.json, without them
  preview.png               shown where there is no WebGL 2
It needs of the page's Content-Security-Policy: worker-src 'self'; script-src 'self' 'wasm-unsafe-eval';
img-src 'self' blob: data:; connect-src 'self' blob: (and the origin of the object store, where artifacts redirect there).
Buttons, fields and lists take their colours from these variables of app.css: --bg, --surface, --line, --text, --muted,
--accent, --on-accent, --danger; view.css has defaults of its own for where they are missing.
*/
