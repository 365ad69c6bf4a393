// A form of the pipeline's options, made of their JSON schema: the few that matter, the rest folded away. Gives what was changed only.

import { h } from "./dom";
import type { Options, OptionsAnswer, Schema } from "./types";

/** What most people may want to set, in their words. */
const CHOSEN: [string, string, string][] = [
  ["mesh", "faces", "Triangles of the mesh, at most"],
  ["mesh", "mode", "Shape"],
  ["mesh", "watertight", "Close the mesh on all sides"],
  ["georef", "use_gps", "Scale and place by GPS"],
  ["recover", "enabled", "Try harder where images do not connect"],
];
const CHOICES: Record<string, string> = {
  "3d": "Free: objects, rooms, buildings",
  "2.5d": "Ground from above: one height everywhere",
  tsdf: "Rooms and objects as the scanner's own depth has them",
};

export interface OptionsForm {
  element: HTMLElement;
  /** Options that differ from those the form was made with. Throws in words where one is out of range. */
  changes(): Record<string, Options>;
  /** Shows these values, of another preset say; what was changed by hand stays. */
  show(values: Record<string, Options>): void;
}

interface Row {
  section: string;
  key: string;
  schema: Schema;
  field: HTMLInputElement | HTMLSelectElement;
  before: string;
}

export function optionsForm(told: OptionsAnswer, values: Record<string, Options>): OptionsForm {
  const rows: Row[] = [];
  const of = (section: string, key: string): Schema | undefined => resolved(told.options, told.options.properties?.[section])?.properties?.[key];
  const line = (section: string, key: string, words: string, about = ""): HTMLElement | false => {
    const schema = of(section, key);
    if (!schema) return false;
    const id = `option-${section}-${key}`;
    const field = fieldOf(plain(told.options, schema), id, schema);
    rows.push({ section, key, schema, field, before: "" });
    const note = about ? h("p", { class: "hint", id: `${id}-about`, text: about }) : null;
    if (note) field.setAttribute("aria-describedby", note.id);
    const isBox = field instanceof HTMLInputElement && field.type === "checkbox";
    return h("div", { class: isBox ? "option check" : "option" }, h("label", { for: id, text: words }), field, note);
  };
  const usual = CHOSEN.map(([section, key, words]) => line(section, key, words));
  const rest = Object.keys(told.options.properties ?? {})
    .filter((section) => section !== "seed")
    .map((section) => {
      const keys = Object.keys(resolved(told.options, told.options.properties?.[section])?.properties ?? {});
      const lines = keys.filter((key) => !CHOSEN.some(([s, k]) => s === section && k === key)).map((key) => line(section, key, words(key), of(section, key)?.description ?? ""));
      return lines.length ? h("details", { class: "section" }, h("summary", { text: words(section) }), ...lines) : null;
    });
  const form: OptionsForm = {
    element: h("div", { class: "options" }, ...usual, h("details", { class: "more" }, h("summary", { text: "All options" }), ...rest)),
    changes: () => changesOf(told.options, rows),
    show: (now) => {
      for (const row of rows) {
        const text = asText(now[row.section]?.[row.key]);
        if (read(row.field) === row.before) write(row.field, text);
        row.before = text;
      }
    },
  };
  for (const row of rows) row.before = read(row.field);
  form.show(values);
  return form;
}

function changesOf(root: Schema, rows: Row[]): Record<string, Options> {
  const changes: Record<string, Options> = {};
  for (const row of rows) {
    const text = read(row.field);
    if (text === row.before) continue;
    if (!row.field.checkValidity()) {
      row.field.closest("details")?.setAttribute("open", "");
      row.field.reportValidity();
      throw new Error(`${words(row.section)}, ${words(row.key)}: ${row.field.validationMessage}`);
    }
    (changes[row.section] ??= {})[row.key] = valueOf(plain(root, row.schema), text);
  }
  return changes;
}

function resolved(root: Schema, schema: Schema | undefined): Schema | undefined {
  const name = schema?.$ref?.split("/").pop();
  return name ? root.$defs?.[name] : schema;
}

/** The schema without its "or null". */
function plain(root: Schema, schema: Schema): Schema {
  const found = resolved(root, schema) ?? schema;
  return found.anyOf?.find((one) => one.type !== "null") ?? found;
}

function fieldOf(schema: Schema, id: string, whole: Schema): HTMLInputElement | HTMLSelectElement {
  const mayBeNull = whole.anyOf?.some((one) => one.type === "null") ?? false;
  if (schema.enum) return select(id, schema.enum.map(String));
  if (schema.type === "boolean" && mayBeNull) return select(id, ["", "true", "false"], { "": "automatic", true: "yes", false: "no" });
  if (schema.type === "boolean") return h("input", { type: "checkbox", id });
  if (schema.type === "integer" || schema.type === "number") {
    const step = schema.type === "integer" ? 1 : "any";
    return h("input", { type: "number", id, step, min: schema.minimum ?? schema.exclusiveMinimum, max: schema.maximum ?? schema.exclusiveMaximum, placeholder: mayBeNull ? "automatic" : null, inputmode: "decimal" });
  }
  return h("input", { type: "text", id, placeholder: schema.type === "array" ? "comma separated" : null });
}

function select(id: string, choices: string[], names: Record<string, string> = CHOICES): HTMLSelectElement {
  return h("select", { id }, ...choices.map((choice) => h("option", { value: choice, text: names[choice] ?? choice })));
}

function read(field: HTMLInputElement | HTMLSelectElement): string {
  return field instanceof HTMLInputElement && field.type === "checkbox" ? String(field.checked) : field.value.trim();
}

function write(field: HTMLInputElement | HTMLSelectElement, text: string): void {
  if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = text === "true";
  else field.value = text;
}

function asText(value: unknown): string {
  if (value === null || value === undefined) return "";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

function valueOf(schema: Schema, text: string): unknown {
  if (schema.type === "array") {
    const parts = text.split(",").map((part) => part.trim()).filter(Boolean);
    const isText = schema.items?.type === "string" || schema.items?.enum !== undefined;
    return isText ? parts : parts.map(Number);
  }
  if (text === "") return null;
  if (schema.type === "boolean") return text === "true";
  if (schema.type === "integer" || schema.type === "number") return Number(text);
  return text;
}

function words(key: string): string {
  const text = key.replace(/_px$/, " [px]").replace(/_deg$/, " [°]").replace(/_m$/, " [m]").replace(/_s$/, " [s]").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
