import { Dialog, showDialog } from '@jupyterlab/apputils';

import { DataLakeUploadForm } from './components/DataLakeUploadForm.js';
import { joined } from './datalakeChooser.js';
import type { IUploadWish } from './datalakeClient.js';
import { attempt, IDataLakeContext } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import type { IPair } from './datalakeMetadata.js';
import { metadataOf } from './datalakeMetadata.js';
import { stageWithNotice } from './datalakeNotices.js';
import { scopeOf } from './datalakeSearch.js';
import type { IDropped } from './datalakeStaged.js';
import { stagedId } from './datalakeStaged.js';
import type { ILake } from './datalakeTypes.js';
import { isStorage, LakeFailure } from './datalakeTypes.js';
import { askAndDo } from './widgets/FormDialog.js';

/** Files whose place in a storage is looked at before they are uploaded. */
const LOOKED_AT = 100;

/** What the dialog asks for. */
export interface IUploadChoice {
  /** A file or folder on the server, where none of one's own computer is chosen. */
  source: string;
  files: readonly IDropped[];
  /** The dataset, or the folder, that gets the files. */
  target: string;
  prefix: string;
  /** Of a Rucio's; empty: this site's. */
  rse: string;
  /** Null: for good. */
  days: number | null;
  pairs: IPair[];
}

/** Upload files or a folder of the server's, of one's own computer, or what was dropped. */
export async function upload(
  context: IDataLakeContext,
  { entry, lake }: ISubject,
  dropped: readonly IDropped[] = []
): Promise<void> {
  const { trans } = context;
  const inScope = entry.kind === 'scope' ? `${scopeOf(entry.path)}:` : '';
  const choice = await askAndDo<IUploadChoice, IUploadChoice>({
    title: trans.__('Upload to %1', entry.name),
    okLabel: trans.__('Upload'),
    value: {
      source: '',
      files: dropped,
      target: inScope || entry.path,
      prefix: '',
      rse: '',
      days: null,
      pairs: []
    },
    form: form => (
      <DataLakeUploadForm
        {...form}
        lake={lake}
        dropped={dropped}
        trans={trans}
      />
    ),
    submit: choice => Promise.resolve(checked(context, lake, choice)),
    trans
  });
  if (choice) {
    await begin(context, lake, choice);
  }
}

/** A choice in which nothing is missing. */
function checked(
  { trans }: IDataLakeContext,
  lake: ILake,
  choice: IUploadChoice
): IUploadChoice {
  const target = choice.target.trim().replace(/^\/+|\/+$/g, '');
  if (lake.kind === 'rucio' && !/^[^:]+:.+$/.test(target)) {
    throw new LakeFailure(
      'wrong-input',
      trans.__('The dataset has no name.'),
      trans.__('Write it as scope:name; it is made if there is none.')
    );
  }
  if (choice.files.length === 0 && choice.source.trim() === '') {
    throw new LakeFailure(
      'wrong-input',
      trans.__('There is nothing to upload.'),
      trans.__('Choose files, or type the path of a file or folder.')
    );
  }
  return { ...choice, target, source: choice.source.trim() };
}

async function begin(
  context: IDataLakeContext,
  lake: ILake,
  choice: IUploadChoice
): Promise<void> {
  const { client, pane, trans, transfers } = context;
  const prefix = await prefixOf(context, choice);
  const names = namesOf(choice);
  const answer = await askAboutConflicts(context, lake, choice, prefix, names);
  if (answer === null) {
    return;
  }
  const source = await sourceOf(context, choice);
  if (source === null) {
    return;
  }
  const wish: IUploadWish = {
    lake: lake.name,
    source,
    ...(isStorage(lake)
      ? { folder: choice.target }
      : { dataset: choice.target, rse: choice.rse.trim() }),
    prefix: prefix + answer,
    days: choice.days,
    metadata: metadataOf(choice.pairs)
  };
  const begun = await attempt(trans, client.upload(wish));
  if (begun) {
    transfers.begin(begun);
    pane.show('transfers');
    await transfers.refresh().catch(() => undefined); // it shows the failure
  } else if (choice.files.length > 0) {
    await client.dropStaged(stagedId(source)).catch(() => undefined);
  }
}

/** What the names begin with: a folder of the server's keeps its own name. */
async function prefixOf(
  { app }: IDataLakeContext,
  { files, prefix, source }: IUploadChoice
): Promise<string> {
  if (prefix !== '' || files.length > 0 || source.startsWith('/')) {
    return prefix;
  }
  const path = source.replace(/\/+$/, '');
  const { contents } = app.serviceManager;
  const isFolder = await contents.get(path, { content: false }).then(
    ({ type }) => type === 'directory',
    () => false // the upload itself says that it is not there
  );
  return isFolder ? `${baseName(path)}/` : '';
}

/** What will be made, as far as it is known here. */
function namesOf({ files, source }: IUploadChoice): string[] {
  return files.length > 0
    ? files.map(({ path }) => path)
    : [baseName(source.replace(/\/+$/, ''))];
}

/** Where what is uploaded lies on the server; null: the user thought better of it. */
async function sourceOf(
  context: IDataLakeContext,
  { files, source }: IUploadChoice
): Promise<string | null> {
  return files.length > 0 ? stageWithNotice(context, files) : source;
}

/**
 * Ask what is to become of files that are there already.
 *
 * @returns what to put before the names; null: nothing is to be done
 */
async function askAboutConflicts(
  context: IDataLakeContext,
  lake: ILake,
  { files, target }: IUploadChoice,
  prefix: string,
  names: readonly string[]
): Promise<string | null> {
  if (!isStorage(lake) || (files.length === 0 && prefix !== '')) {
    return ''; // Rucio compares checksums, and keeps what is there
  }
  const { client, trans } = context;
  const paths = names
    .slice(0, LOOKED_AT)
    .map(name => joined(target, prefix + name));
  const found = await Promise.all(
    paths.map(path =>
      client.details(lake.name, path).then(
        ({ entry }) => (entry.kind === 'file' ? [path] : []),
        () => [] // not there, or the upload will say what is wrong
      )
    )
  );
  const there = found.flat();
  if (there.length === 0) {
    return '';
  }
  const { button } = await showDialog({
    title: trans._n(
      '%1 file is there already',
      '%1 files are there already',
      there.length
    ),
    body: trans.__(
      'In %1: %2. Those that are the same are left as they are.',
      target || lake.title,
      there.slice(0, 3).map(baseName).join(', ') + (there.length > 3 ? '…' : '')
    ),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.okButton({ label: trans.__('Keep Both'), actions: ['keep'] }),
      Dialog.warnButton({ label: trans.__('Replace'), actions: ['replace'] })
    ],
    defaultButton: 0
  });
  if (button.actions.includes('keep')) {
    return `${new Date().toISOString().slice(0, 19).replaceAll(':', '-')} `;
  }
  if (button.actions.includes('replace')) {
    for (const path of there) {
      const gone = client.remove(lake.name, path).then(() => true);
      if (!(await attempt(trans, gone))) {
        return null;
      }
    }
    return '';
  }
  return null;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
