/**
 * What was dropped on the panel, or chosen on one's own computer, on its way to the server.
 */
import type { Contents } from '@jupyterlab/services';

/** The folder, in JupyterLab's, into which it comes first. */
const FOLDER = 'lake-uploads';
/** Bytes that are sent to the server at once. */
const PART = 2 ** 20;

/** A file that somebody dropped, with its path in the folder that was dropped. */
export interface IDropped {
  path: string;
  file: File;
}

/** Bytes that have come so far, and all. */
export type TellProgress = (done: number, total: number) => void;

/**
 * Bring files to the server, as what `id` names.
 *
 * @returns where they are there: a file, or a folder with all of them
 */
export async function stage(
  contents: Contents.IManager,
  id: string,
  dropped: readonly IDropped[],
  signal: AbortSignal,
  tell: TellProgress
): Promise<string> {
  const folder = `${FOLDER}/${id}`;
  for (const path of foldersOf(folder, dropped)) {
    signal.throwIfAborted();
    await contents.save(path, { type: 'directory' });
  }
  const total = dropped.reduce((sum, { file }) => sum + file.size, 0);
  let done = 0;
  for (const { path, file } of dropped) {
    await store(contents, `${folder}/${path}`, file, signal, bytes => {
      done += bytes;
      tell(done, total);
    });
  }
  const [only] = dropped;
  const isSingle = dropped.length === 1 && !only!.path.includes('/');
  return isSingle ? `${folder}/${only!.path}` : folder;
}

/** Every folder that must be there, each before those in it. */
export function foldersOf(
  folder: string,
  dropped: readonly { path: string }[]
): string[] {
  const folders = new Set([FOLDER, folder]);
  for (const { path } of dropped) {
    const parts = path.split('/').slice(0, -1);
    parts.forEach((_, end) =>
      folders.add(`${folder}/${parts.slice(0, end + 1).join('/')}`)
    );
  }
  return [...folders];
}

/** What names the files that were staged at a path; empty where none were. */
export function stagedId(path: string): string {
  const parts = path.split('/');
  return parts[parts.indexOf(FOLDER) + 1 || parts.length] ?? '';
}

/** Bring a file to the server in parts. */
async function store(
  contents: Contents.IManager,
  path: string,
  file: File,
  signal: AbortSignal,
  tell: (bytes: number) => void
): Promise<void> {
  const count = Math.max(1, Math.ceil(file.size / PART));
  for (let part = 0; part < count; part += 1) {
    signal.throwIfAborted();
    const bytes = file.slice(part * PART, (part + 1) * PART);
    const isLast = part === count - 1;
    await contents.save(path, {
      type: 'file',
      format: 'base64',
      name: file.name,
      content: await base64(bytes),
      ...(count > 1 ? { chunk: isLast ? -1 : part + 1 } : {})
    });
    tell(bytes.size);
  }
}

function base64(bytes: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () =>
      resolve((reader.result as string).split(',')[1] ?? '');
    reader.onerror = () => reject(reader.error ?? new Error(''));
    reader.readAsDataURL(bytes);
  });
}

/** All files that were dropped, those in folders too. */
export async function droppedFiles(data: DataTransfer): Promise<IDropped[]> {
  // To be read before anything is waited for: the browser forgets them then.
  const files = [...data.files].map(file => ({ path: file.name, file }));
  const entries = [...data.items].map(item => item.webkitGetAsEntry());
  const found = await Promise.all(
    entries.flatMap(entry => (entry ? [filesIn(entry, '')] : []))
  );
  const all = found.flat();
  return all.length > 0 ? all : files;
}

/** The files that somebody chose, or those of the folder. */
export function chosenFiles(files: FileList): IDropped[] {
  return [...files].map(file => ({
    path: file.webkitRelativePath || file.name,
    file
  }));
}

async function filesIn(
  entry: FileSystemEntry,
  folder: string
): Promise<IDropped[]> {
  const path = folder + entry.name;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject)
    );
    return [{ path, file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: IDropped[] = [];
  for (;;) {
    // A browser tells of a hundred at a time.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject)
    );
    if (some.length === 0) {
      return found;
    }
    for (const one of some) {
      found.push(...(await filesIn(one, `${path}/`)));
    }
  }
}
