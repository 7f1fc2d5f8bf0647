import { InputDialog } from '@jupyterlab/apputils';
import type { Contents } from '@jupyterlab/services';

import { attempt, IDataLakeContext, tellSuccess } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import { scopeOf } from './datalakeSearch.js';

/** The folder, in JupyterLab's, into which what is dropped comes first. */
const FOLDER = 'lake-uploads';
/** Bytes that are sent to the server at once. */
const PART = 2 ** 20;

/** A file that somebody dropped, with its path in the folder that was dropped. */
export interface IDropped {
  path: string;
  file: File;
}

/** Upload a file or folder of the server's, of which the user tells the path. */
export async function uploadFromServer(
  context: IDataLakeContext,
  subject: ISubject
): Promise<void> {
  const { trans } = context;
  const dataset = await datasetFor(context, subject);
  if (!dataset) {
    return;
  }
  const { value } = await InputDialog.getText({
    title: trans.__('Upload to %1', dataset),
    label: trans.__('File or folder on this machine'),
    placeholder: trans.__('results/run-3'),
    okLabel: trans.__('Upload')
  });
  if (value) {
    await begin(context, subject, value, dataset);
  }
}

/** Upload what was dropped: to this server first, from there into the lake. */
export async function uploadDropped(
  context: IDataLakeContext,
  subject: ISubject,
  dropped: readonly IDropped[]
): Promise<void> {
  const dataset = await datasetFor(context, subject);
  if (!dataset || dropped.length === 0) {
    return;
  }
  const folder = `${FOLDER}/${crypto.randomUUID()}`;
  const { contents } = context.app.serviceManager;
  const stored = await attempt(
    context.trans,
    storeAll(contents, folder, dropped).then(() => true)
  );
  if (stored) {
    const [only] = dropped;
    const single = dropped.length === 1 && !only!.path.includes('/');
    const source = single ? `${folder}/${only!.path}` : folder;
    await begin(context, subject, source, dataset);
  }
}

/** The dataset that gets the files: the selected one, or one that the user names. */
async function datasetFor(
  { trans }: IDataLakeContext,
  { entry }: ISubject
): Promise<string | null> {
  if (entry.kind === 'dataset') {
    return entry.path;
  }
  const scope = scopeOf(entry.path);
  const { value } = await InputDialog.getText({
    title: trans.__('Upload to a dataset of %1', scope),
    label: trans.__("The dataset's name; it is made if there is none"),
    okLabel: trans.__('Next')
  });
  return value ? `${scope}:${value}` : null;
}

async function begin(
  { client, pane, trans, transfers }: IDataLakeContext,
  { lake }: ISubject,
  source: string,
  dataset: string
): Promise<void> {
  const work = client.upload({ lake: lake.name, source, dataset });
  if (await attempt(trans, work)) {
    tellSuccess(trans.__('Uploading to %1.', dataset));
    pane.show('transfers');
    await transfers.refresh().catch(() => undefined); // it shows the failure
  }
}

async function storeAll(
  contents: Contents.IManager,
  folder: string,
  dropped: readonly IDropped[]
): Promise<void> {
  const folders = new Set([FOLDER, folder]);
  for (const { path } of dropped) {
    const parts = path.split('/').slice(0, -1);
    parts.forEach((_, end) =>
      folders.add(`${folder}/${parts.slice(0, end + 1).join('/')}`)
    );
  }
  for (const path of folders) {
    await contents.save(path, { type: 'directory' });
  }
  for (const { path, file } of dropped) {
    await store(contents, `${folder}/${path}`, file);
  }
}

/** Bring a file to the server in parts. */
async function store(
  contents: Contents.IManager,
  path: string,
  file: File
): Promise<void> {
  const count = Math.max(1, Math.ceil(file.size / PART));
  for (let part = 0; part < count; part += 1) {
    const bytes = file.slice(part * PART, (part + 1) * PART);
    const isLast = part === count - 1;
    await contents.save(path, {
      type: 'file',
      format: 'base64',
      name: file.name,
      content: await base64(bytes),
      ...(count > 1 ? { chunk: isLast ? -1 : part + 1 } : {})
    });
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
