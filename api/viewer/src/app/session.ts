// The API key of this browser: for this tab, or kept if its owner says so. It comes typed in, or behind the '#' of a link.

const NAME = "recon.key";

/** The key in the address, if there is one; it is taken out of the address at once. */
export function keyOfAddress(): string | null {
  const match = /^#key=([!-~]{8,300})$/.exec(location.hash);
  if (!match) return null;
  history.replaceState(null, "", `${location.pathname}${location.search}#/`);
  return match[1] ?? null;
}

export function storedKey(): string | null {
  try {
    return sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME);
  } catch {
    return null; // storage is turned off: the key lives as long as the page
  }
}

export function storeKey(key: string, keep: boolean): void {
  try {
    sessionStorage.setItem(NAME, key);
    if (keep) localStorage.setItem(NAME, key);
    else localStorage.removeItem(NAME);
  } catch {
    // as above
  }
}

export function forgetKey(): void {
  try {
    sessionStorage.removeItem(NAME);
    localStorage.removeItem(NAME);
  } catch {
    // as above
  }
}
