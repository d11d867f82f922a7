// Files and folders as they are dropped or picked.

export interface FoundFile {
  /** Path relative to what was dropped, with `/`. */
  name: string;
  size: number;
  file: File;
}

/** Most files taken from one drop. */
export const FILES_MAX = 10_000;
/** Deepest folder that is walked. */
const DEPTH_MAX = 32;
const LEFT_OUT = new Set(['.DS_Store', 'Thumbs.db', 'desktop.ini']);

export interface Found {
  files: FoundFile[];
  /** Whether there were more files than are taken, or folders deeper than are walked. */
  cut: boolean;
  /** Names of what could not be read. */
  unreadable: string[];
}

/** Whether something that is dragged over the page holds files. */
export function holdsFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes('Files') ?? false;
}

/** Files of an input element; a folder input names the path of each. */
export function pickedFiles(list: FileList | null): Found {
  const all = Array.from(list ?? []).filter((file) => !LEFT_OUT.has(file.name));
  const files = all
    .slice(0, FILES_MAX)
    .map((file) => ({ name: file.webkitRelativePath || file.name, size: file.size, file }));
  return { files, cut: all.length > FILES_MAX, unreadable: [] };
}

/**
 * Files of a drop, folders walked to the bottom. The list of entries is taken before the first wait, because a
 * browser empties it after the event.
 */
export async function droppedFiles(transfer: DataTransfer): Promise<Found> {
  const found: Found = { files: [], cut: false, unreadable: [] };
  const entries: FileSystemEntry[] = [];
  for (const item of Array.from(transfer.items)) {
    const entry = item.kind === 'file' ? item.webkitGetAsEntry() : null;
    if (entry) entries.push(entry);
  }
  if (entries.length === 0) return pickedFiles(transfer.files);
  for (const entry of entries) await walk(entry, '', 0, found);
  return found;
}

async function walk(entry: FileSystemEntry, folder: string, depth: number, found: Found): Promise<void> {
  if (found.files.length >= FILES_MAX || depth > DEPTH_MAX) {
    found.cut = true;
    return;
  }
  const name = folder + entry.name;
  try {
    if (entry.isFile) {
      if (LEFT_OUT.has(entry.name)) return;
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      found.files.push({ name, size: file.size, file });
      return;
    }
    for (const child of await children(entry as FileSystemDirectoryEntry))
      await walk(child, `${name}/`, depth + 1, found);
  } catch {
    found.unreadable.push(name);
  }
}

/** A reader hands out a folder in pieces until it hands out none. */
async function children(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  while (all.length <= FILES_MAX) {
    const piece = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (piece.length === 0) break;
    all.push(...piece);
  }
  return all.sort((a, b) => a.name.localeCompare(b.name));
}
