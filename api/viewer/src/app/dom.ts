// Elements made by hand: text is only ever set as text, so that no name or message can become markup.

export type Child = Node | string | number | null | undefined | false;
type Listener = (event: Event) => void;
export type Props = Record<string, string | number | boolean | null | undefined | Listener>;

const SVG = "http://www.w3.org/2000/svg";
const SAFE_URL = /^(?:https?:|blob:|data:image\/|[^:]*$|[^:]*[/?#])/i;

/** An element. `on…` is a listener, `text` its text, `true` an empty attribute; null and false leave the attribute out. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  set(element, props);
  if (children.length) fill(element, ...children);
  return element;
}

export function set(element: Element, props: Props): void {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value === null || value === undefined ? "" : String(value);
    else if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if ((name === "href" || name === "src") && !SAFE_URL.test(String(value))) throw new Error(`no address to go to: ${name}`);
    else if (name === "style" || name.startsWith("on")) throw new Error(`${name} is not set as text`);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Replaces all that is inside. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((child): child is Node | string | number => child !== null && child !== undefined && child !== false).map(asNode));
}

function asNode(child: Node | string | number): Node {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** A pictogram: strokes on a grid of 24, for the eye only. */
export function icon(name: keyof typeof PATHS): SVGSVGElement {
  const picture = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" })) {
    picture.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  picture.append(path);
  return picture;
}

const PATHS = {
  plus: "M12 5v14M5 12h14",
  upload: "M12 16V4m0 0L7 9m5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  download: "M12 4v12m0 0-5-5m5 5 5-5M4 20h16",
  back: "M15 5l-7 7 7 7",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zm5-2 5 5",
  trash: "M4 7h16M9 7V4h6v3m3 0-1 13H7L6 7m4 4v5m4-5v5",
  cube: "M12 3 4 7.5v9L12 21l8-4.500V7.500zM4 7.500l8 4.500 8-4.500M12 12v9",
  share: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1m2 4a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 13l4 4L19 7",
  warning: "M12 4 2.500 20h19zM12 10v4m0 3v.010",
  theme: "M12 3a9 9 0 1 0 0 18zm0 0a9 9 0 0 1 0 18",
  leave: "M10 4H5v16h5M9 12h11m-4-4 4 4-4 4",
  edit: "M4 20h4L19 9l-4-4L4 16z",
  again: "M20 12a8 8 0 1 1-2.500-5.800M20 3v4h-4",
  stop: "M7 7h10v10H7z",
  close: "M6 6l12 12M18 6 6 18",
  pause: "M9 6v12M15 6v12",
  play: "M8 5l11 7-11 7z",
  folder: "M3 6h6l2 2h10v11H3z",
} as const;

/** A bar from 0 to 1 that says what it measures. */
export function bar(label: string, fraction: number): HTMLElement {
  const line = h("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, h("span"));
  setBar(line, fraction);
  return line;
}

export function setBar(line: HTMLElement, fraction: number): void {
  const percent = Math.round(100 * Math.min(1, Math.max(0, fraction)));
  line.setAttribute("aria-valuenow", String(percent));
  (line.firstElementChild as HTMLElement).style.width = `${100 * Math.min(1, Math.max(0, fraction))}%`;
}

export function button(label: string, press: Listener, options: { icon?: keyof typeof PATHS; kind?: "primary" | "plain" | "danger"; title?: string } = {}): HTMLButtonElement {
  return h("button", { type: "button", class: `button ${options.kind ?? ""}`, onclick: press, title: options.title }, options.icon && icon(options.icon), label);
}

/** A button that shows a pictogram only; its label is read aloud and shown on hovering. */
export function iconButton(label: string, name: keyof typeof PATHS, press: Listener): HTMLButtonElement {
  return h("button", { type: "button", class: "button plain square", "aria-label": label, title: label, onclick: press }, icon(name));
}
