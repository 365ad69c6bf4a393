// Light, dark, or as the system has it.

const NAME = "recon.theme";
const ORDER = ["auto", "light", "dark"] as const;
type Theme = (typeof ORDER)[number];

export function applyTheme(): void {
  const theme = stored();
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

/** The next one; what it is called. */
export function nextTheme(): string {
  const theme = ORDER[(ORDER.indexOf(stored()) + 1) % ORDER.length] ?? "auto";
  try {
    localStorage.setItem(NAME, theme);
  } catch {
    document.documentElement.dataset["theme"] = theme;
    return theme;
  }
  applyTheme();
  return theme;
}

function stored(): Theme {
  try {
    const found = localStorage.getItem(NAME);
    return ORDER.find((theme) => theme === found) ?? "auto";
  } catch {
    return "auto";
  }
}
