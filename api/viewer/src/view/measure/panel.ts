// The list of measurements: names, values, profiles; rename, delete, export.
import { Vector3 } from "three";
import { el, icon } from "../dom";
import { area, length, type Place } from "../place";
import type { Measurement, Measurements } from "../types";
import { KIND_NAMES } from "./geometry";
import { plot, type Profile } from "./plot";

export class MeasurePanel {
  readonly element: HTMLElement;
  /** Whenever the list or the one that is chosen changed. */
  onChange: () => void = () => undefined;
  onChoose: (measurement: Measurement) => void = () => undefined;
  onProblem: (reason: unknown) => void = () => undefined;
  profileOf: (measurement: Measurement) => Profile | null = () => null;
  readonly #store: Measurements;
  readonly #list = el("ul", { class: "v-measurements" });
  readonly #empty = el("p", { class: "v-note" });
  readonly #note = el("p", { class: "v-note v-warn", hidden: true }, "The scale of this model is not known: values are in arbitrary units, not in metres.");
  readonly #own = el("p", { class: "v-note", hidden: true }, "What you measure here is yours alone: it is neither kept nor exported.");
  readonly #exports: HTMLElement;
  #rows: Measurement[] = [];
  #chosen: string | null = null;
  #renaming: string | null = null;
  #local = 0;

  constructor(store: Measurements) {
    this.#store = store;
    const save = (format: "csv" | "geojson", label: string): HTMLElement =>
      el("button", { type: "button", class: "v-text-button", click: () => void store.download(format).catch((reason: unknown) => this.onProblem(reason)) }, label);
    this.#exports = el("div", { class: "v-exports", hidden: true }, "Export", save("csv", "CSV"), save("geojson", "GeoJSON"));
    const kept = store.writable ? "They are kept with the job." : "On a shared link they are not kept.";
    this.#empty.textContent = `Nothing measured yet. Choose a tool, then click on the model. ${kept}`;
    this.element = el("section", { class: "v-panel", "aria-label": "Measurements" }, el("h2", {}, "Measurements"), this.#note, this.#list, this.#empty, this.#own, this.#exports);
  }

  get rows(): readonly Measurement[] {
    return this.#rows;
  }

  get chosen(): string | null {
    return this.#chosen;
  }

  set place(place: Place) {
    this.#note.hidden = place.metric !== false;
  }

  async load(): Promise<void> {
    const stored = await this.#store.list();
    this.#rows = [...stored, ...this.#rows];
    this.#draw();
  }

  async add(measurement: Omit<Measurement, "id">): Promise<void> {
    const row = this.#store.writable ? await this.#store.save(measurement) : { ...measurement, id: `local-${++this.#local}` };
    this.#rows.push(row);
    this.#chosen = row.id;
    this.#draw();
  }

  /** A name that no other has: the kind and a number. */
  nextName(kind: Measurement["kind"]): string {
    const names = new Set(this.#rows.map((row) => row.name));
    for (let n = 1; ; n++) if (!names.has(`${KIND_NAMES[kind]} ${n}`)) return `${KIND_NAMES[kind]} ${n}`;
  }

  #draw(): void {
    this.#list.replaceChildren(...this.#rows.map((row) => this.#row(row)));
    this.#empty.hidden = this.#rows.length > 0;
    const own = this.#rows.filter((row) => row.id.startsWith("local-")).length;
    this.#exports.hidden = own === this.#rows.length;
    this.#own.hidden = own === 0;
    this.onChange();
  }

  #row(row: Measurement): HTMLElement {
    const isChosen = row.id === this.#chosen;
    const canChange = this.#store.writable || row.id.startsWith("local-");
    const choose = el(
      "button",
      { type: "button", class: "v-measurement", "aria-expanded": isChosen ? "true" : "false", click: () => this.#choose(row) },
      el("span", { class: "v-name" }, row.name),
      el("span", { class: "v-value" }, valueOf(row)),
    );
    const tool = (name: "pencil" | "trash", label: string, press: () => void): HTMLElement =>
      el("button", { type: "button", class: "v-button v-small", "aria-label": `${label} ${row.name}`, title: label, click: press }, icon(name));
    const tools = canChange && [tool("pencil", "Rename", () => this.#edit(row.id)), tool("trash", "Delete", () => void this.#remove(row))];
    const profile = isChosen && row.kind === "profile" ? this.profileOf(row) : null;
    return el(
      "li",
      { class: isChosen ? "v-is-chosen" : "" },
      el("div", { class: "v-line-of" }, this.#renaming === row.id ? this.#field(row) : choose, ...(tools || [])),
      isChosen && el("p", { class: "v-note" }, details(row)),
      profile && plot(profile, row.unit),
    );
  }

  #field(row: Measurement): HTMLElement {
    const input = el("input", { class: "v-rename", value: row.name, maxlength: 200, "aria-label": "Name of the measurement" });
    let isOver = false;
    const end = (keep: boolean): void => {
      if (isOver) return;
      isOver = true;
      this.#renaming = null;
      const name = input.value.trim();
      if (keep && name && name !== row.name) void this.#rename(row, name);
      else this.#draw();
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
      event.stopPropagation();
    });
    input.addEventListener("blur", () => end(true));
    queueMicrotask(() => input.select());
    return input;
  }

  #edit(id: string): void {
    this.#renaming = id;
    this.#draw();
  }

  #choose(row: Measurement): void {
    this.#chosen = this.#chosen === row.id ? null : row.id;
    this.#draw();
    if (this.#chosen) this.onChoose(row);
  }

  async #rename(row: Measurement, name: string): Promise<void> {
    try {
      if (this.#store.writable) await this.#store.rename(row.id, name);
      this.#rows = this.#rows.map((other) => (other.id === row.id ? { ...other, name } : other));
    } catch (reason) {
      this.onProblem(reason);
    }
    this.#draw();
  }

  async #remove(row: Measurement): Promise<void> {
    try {
      if (this.#store.writable) await this.#store.remove(row.id);
      this.#rows = this.#rows.filter((other) => other.id !== row.id);
    } catch (reason) {
      this.onProblem(reason);
    }
    this.#draw();
  }
}

export function valueOf(row: Pick<Measurement, "kind" | "value" | "unit">): string {
  if (row.kind === "area") return area(row.value, row.unit.replace("²", ""));
  return `${row.kind === "height" && row.value > 0 ? "+" : ""}${length(row.value, row.unit)}`;
}

function details(row: Measurement): string {
  const [a, b] = row.points.map((point) => new Vector3(...point));
  const scale = row.metric ? "" : " Not metric.";
  if (row.kind === "area" || !a || !b) return `${row.points.length} corners, in the plane that fits them.${scale}`;
  const plan = Math.hypot(b.x - a.x, b.y - a.y);
  if (row.kind === "profile") return `${length(plan, row.unit)} in plan, ends ${length(b.z - a.z, row.unit)} apart in height.${scale}`;
  return `${length(plan, row.unit)} in plan, ${length(b.z - a.z, row.unit)} in height.${scale}`;
}
