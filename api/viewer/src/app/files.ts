// What was dropped or chosen: files with their names below the folder that was dropped.

export interface Chosen {
  name: string;
  file: File;
}

const JUNK = /(^|\/)(\.[^/]*|__MACOSX|Thumbs\.db|desktop\.ini)(\/|$)/i;

/** Files of a drop, folders walked through. */
export async function dropped(transfer: DataTransfer): Promise<Chosen[]> {
  // entries must be taken before the first wait: the browser empties the list then
  const entries = [...transfer.items].map((item) => (item.kind === "file" ? item.webkitGetAsEntry() : null));
  if (entries.every((entry) => entry === null)) return picked(transfer.files);
  const found: Chosen[] = [];
  for (const entry of entries) if (entry) await walk(entry, found);
  return tidy(found);
}

/** Files of a file field; those of a folder bring their path. */
export function picked(files: FileList): Chosen[] {
  return tidy([...files].map((file) => ({ name: file.webkitRelativePath || file.name, file })));
}

async function walk(entry: FileSystemEntry, found: Chosen[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    found.push({ name: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const inner of some) await walk(inner, found);
  }
}

/** Without what operating systems leave lying about, and empty files, which the service refuses. */
function tidy(files: Chosen[]): Chosen[] {
  return files.filter(({ name, file }) => file.size > 0 && !JUNK.test(name)).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A name for the capture: of the one folder or file that it consists of, else the date. */
export function nameOf(files: Chosen[]): string {
  const tops = new Set(files.map(({ name }) => name.split("/")[0] ?? ""));
  const only = tops.size === 1 ? ([...tops][0] ?? "") : "";
  const plain = only.replace(/\.[A-Za-z0-9]{1,5}$/, "").replace(/[\u0000-\u001f\u007f-\u009f]/g, "").trim();
  return (plain || `Capture of ${new Date().toLocaleDateString("en", { day: "numeric", month: "long" })}`).slice(0, 200);
}
