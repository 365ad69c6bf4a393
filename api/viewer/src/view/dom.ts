// Elements made in one line. Text is always text: nothing here reads markup.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>;

function fill(node: Element, attributes: Attributes, children: Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child): child is Node | string => Boolean(child)));
}

/** An HTML element; attributes that are functions listen to the event of that name. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  fill(node, attributes, children);
  return node;
}

/** The same for SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(node, attributes, children);
  return node;
}

const ICONS = {
  orbit: "M3 12c0-2 4-3.5 9-3.5s9 1.5 9 3.5-4 3.5-9 3.5S3 14 3 12zM12 3c2 0 3.5 4 3.5 9S14 21 12 21s-3.5-4-3.5-9S10 3 12 3z",
  walk: "M13.5 5.2a1.4 1.4 0 1 0-.01 0M9 21l2.5-5.5-1-4 1.5-4 2.5 3 3 1M7 12l1.5-3.5 3.5-1M11 14l3.5 2.5L16 21",
  home: "M4 11l8-7 8 7M6 10v10h12V10",
  top: "M12 3v9M8.5 8.5L12 12l3.5-3.5M4 15l8-3 8 3-8 5z",
  distance: "M4 20L20 4M4 20v-5M4 20h5M20 4h-5M20 4v5",
  height: "M12 3v18M12 3l-4 4M12 3l4 4M12 21l-4-4M12 21l4-4M4 3h4M16 3h4M4 21h4M16 21h4",
  area: "M5 8l8-4 7 7-5 9-10-2z",
  profile: "M3 20h18M3 16l4-6 4 3 4-8 6 7",
  clip: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M9 9h6v6H9z",
  settings: "M4 7h10M18 7h2M14 5v4M4 17h2M10 17h10M6 15v4",
  ruler: "M3 16L16 3l5 5L8 21zM7 12l2 2M10 9l2 2M13 6l2 2",
  close: "M6 6l12 12M18 6L6 18",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v6M14 11v6",
  pencil: "M4 20l1-4L16 5l3 3L8 19z",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  check: "M5 12l5 5 9-10",
} as const;

export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGSVGElement {
  return svg("svg", { viewBox: "0 0 24 24", class: "v-icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}
