import { Dialog, showDialog } from '@jupyterlab/apputils';

import { DataLakeChooser } from './components/DataLakeChooser.js';
import {
  DaysField,
  Group,
  PairsField,
  TextField
} from './components/DataLakeFields.js';
import { ChooserModel, joined } from './datalakeChooser.js';
import { attempt, IDataLakeContext, tellSuccess } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import type { IPair } from './datalakeMetadata.js';
import { changesOf, metadataOf, pairsOf } from './datalakeMetadata.js';
import { scopeOf } from './datalakeSearch.js';
import type { EntryKind, IDetails } from './datalakeTypes.js';
import { LakeFailure } from './datalakeTypes.js';
import { askAndDo } from './widgets/FormDialog.js';

/** Make an empty dataset or container in the scope of an entry. */
export async function createCollection(
  context: IDataLakeContext,
  { entry, lake }: ISubject,
  kind: 'dataset' | 'container'
): Promise<void> {
  const { client, trans } = context;
  const scope = scopeOf(entry.path);
  const made = await askAndDo({
    title:
      kind === 'dataset'
        ? trans.__('New dataset in %1', scope)
        : trans.__('New container in %1', scope),
    okLabel: trans.__('Create'),
    value: { name: '', pairs: [] as IPair[], days: null as number | null },
    form: ({ set, value }) => (
      <>
        <TextField
          label={trans.__('Name')}
          value={value.name}
          set={name => set({ name })}
        />
        <DaysField
          label={trans.__('Days until it ends')}
          days={value.days}
          set={days => set({ days })}
          trans={trans}
        />
        <Group title={trans.__('Metadata')}>
          <PairsField
            pairs={value.pairs}
            set={pairs => set({ pairs })}
            trans={trans}
          />
        </Group>
      </>
    ),
    submit: ({ days, name, pairs }) =>
      client.create(lake.name, `${scope}:${named(context, name)}`, {
        kind,
        ...(pairs.length > 0 ? { metadata: metadataOf(pairs) } : {}),
        ...(days === null ? {} : { days })
      }),
    trans
  });
  if (made) {
    tellSuccess(trans.__('Created %1.', made.path));
    context.tree.reloadPath(lake.name, scope);
  }
}

/** Make a folder in an entry of a storage, or a bucket in the storage itself. */
export async function createFolder(
  context: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const { client, trans } = context;
  const kind = folderKind(context, { entry, lake });
  const made = await askAndDo({
    title:
      kind === 'bucket'
        ? trans.__('New bucket in %1', entry.name)
        : trans.__('New folder in %1', entry.name),
    okLabel: trans.__('Create'),
    value: { name: '' },
    form: ({ set, value }) => (
      <TextField
        label={trans.__('Name')}
        value={value.name}
        set={name => set({ name })}
      />
    ),
    submit: ({ name }) =>
      client.create(lake.name, joined(entry.path, named(context, name)), {
        kind
      }),
    trans
  });
  if (made) {
    tellSuccess(trans.__('Created %1.', made.path));
    context.tree.reloadPath(lake.name, entry.path);
  }
}

/** What is made in an entry: a storage that has buckets has nothing else beside them. */
function folderKind(
  { tree }: IDataLakeContext,
  { entry, lake }: ISubject
): EntryKind {
  const hasBuckets = tree.rows.some(
    ({ node }) => node?.lake.name === lake.name && node.entry?.kind === 'bucket'
  );
  return entry.path === '' && hasBuckets ? 'bucket' : 'folder';
}

/** A name that is one; rejects an empty one before the lake does. */
function named({ trans }: IDataLakeContext, name: string): string {
  if (name.trim() === '') {
    throw new LakeFailure(
      'wrong-input',
      trans.__('It has no name.'),
      trans.__('Type one.')
    );
  }
  return name.trim();
}

/** Put entries into a dataset or container that the user chooses. */
export async function attach(
  context: IDataLakeContext,
  subjects: readonly ISubject[]
): Promise<void> {
  const { client, trans } = context;
  const { lake, entry } = subjects[0]!;
  const kinds: EntryKind[] = ['scope', 'container', 'dataset'];
  const scope = scopeOf(entry.path);
  const model = new ChooserModel(client, kinds, lake, scope);
  const children = subjects.map(one => one.entry.path);
  const done = await askAndDo({
    title: trans._n(
      'Add %1 entry to a dataset or container',
      'Add %1 entries to a dataset or container',
      children.length
    ),
    okLabel: trans.__('Add'),
    value: { path: `${scope}:` },
    form: ({ set, value }) => (
      <>
        <TextField
          label={trans.__('Dataset or container')}
          value={value.path}
          placeholder="scope:name"
          set={path => set({ path })}
        />
        <DataLakeChooser
          model={model}
          lakes={[lake]}
          chosen={(_, path) =>
            set({ path: path.includes(':') ? path : `${path}:` })
          }
          label={trans.__('Datasets and containers')}
          trans={trans}
        />
      </>
    ),
    submit: ({ path }) =>
      client.attach(lake.name, path.trim(), children).then(() => path.trim()),
    trans
  });
  if (done) {
    tellSuccess(
      trans._n(
        '%1 entry is in %2 now.',
        '%1 entries are in %2 now.',
        children.length,
        done
      )
    );
    context.tree.reloadPath(lake.name, done);
    void context.details.refresh();
  }
}

/** Take entries out of the dataset or container in which they are shown. */
export async function detach(
  context: IDataLakeContext,
  subjects: readonly ISubject[]
): Promise<void> {
  const { client, selection, trans } = context;
  const parent = selection.parent?.entry;
  const lake = subjects[0]!.lake;
  if (!parent) {
    return;
  }
  const sure = await confirm(
    context,
    trans._n(
      'Take %1 entry out of %2?',
      'Take %1 entries out of %2?',
      subjects.length,
      parent.name
    ),
    trans.__('They stay in the lake; only %1 has them no more.', parent.path),
    trans.__('Take Out')
  );
  const children = subjects.map(({ entry }) => entry.path);
  const work = () => client.detach(lake.name, parent.path, children);
  if (sure && (await succeeds(context, work()))) {
    context.tree.reloadPath(lake.name, parent.path);
  }
}

/** Let nothing be put into a dataset or container any more. */
export async function closeCollection(
  context: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const { client, details, trans } = context;
  const sure = await confirm(
    context,
    trans.__('Close %1?', entry.name),
    trans.__(
      'Nothing can be put into it or taken out of it any more. It can not be opened again here.'
    ),
    trans.__('Close It')
  );
  if (sure && (await succeeds(context, client.close(lake.name, entry.path)))) {
    tellSuccess(trans.__('Closed %1.', entry.path));
    await details.refresh();
  }
}

/** Remove files and empty folders of a storage. */
export async function removeEntries(
  context: IDataLakeContext,
  subjects: readonly ISubject[]
): Promise<void> {
  const { client, selection, trans } = context;
  const [{ entry, lake }] = subjects as [ISubject];
  const parent = selection.parent?.entry?.path ?? '';
  const sure = await confirm(
    context,
    subjects.length === 1
      ? trans.__('Delete %1?', entry.name)
      : trans.__('Delete %1 entries?', subjects.length),
    trans.__('It is deleted in %1 for everybody, for good.', lake.title),
    trans.__('Delete')
  );
  if (!sure) {
    return;
  }
  for (const subject of subjects) {
    const work = client.remove(lake.name, subject.entry.path);
    if (!(await succeeds(context, work))) {
      break;
    }
  }
  context.tree.reloadPath(lake.name, parent);
}

/** Change the keys that users have given to an entry. */
export async function editMetadata(
  context: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const { client, details, trans } = context;
  const known = await attempt(trans, client.details(lake.name, entry.path));
  if (!known) {
    return;
  }
  const before = pairsOf(known.metadata, known.editable);
  const done = await askAndDo({
    title: trans.__('Metadata of %1', entry.name),
    okLabel: trans.__('Save'),
    value: {
      pairs: before.length > 0 ? before : [{ key: '', value: '' }]
    },
    form: ({ set, value }) => (
      <>
        <p>
          {trans.__(
            'Numbers, true and false are found by comparing, such as "run>=3"; what is in quotes is a text.'
          )}
        </p>
        <PairsField
          pairs={value.pairs}
          set={pairs => set({ pairs })}
          trans={trans}
        />
      </>
    ),
    submit: async ({ pairs }) => {
      const changes = changesOf(before, pairs);
      if (Object.keys(changes).length > 0) {
        await client.setMetadata(lake.name, entry.path, changes);
      }
      return true;
    },
    trans
  });
  if (done) {
    await details.refresh();
  }
}

/** Say when a dataset or container ends. */
export async function setLifetime(
  context: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const { client, details, trans } = context;
  const done = await askAndDo<{ days: number | null }, IDetails>({
    title: trans.__('Lifetime of %1', entry.name),
    okLabel: trans.__('Set'),
    value: { days: 30 },
    form: ({ set, value }) => (
      <>
        <p>{trans.__('When it ends, its rules end with it.')}</p>
        <DaysField
          label={trans.__('Days from now')}
          days={value.days}
          set={days => set({ days })}
          trans={trans}
        />
      </>
    ),
    submit: ({ days }) => client.setLifetime(lake.name, entry.path, days),
    trans
  });
  if (done) {
    await details.refresh();
  }
}

async function succeeds(
  { trans }: IDataLakeContext,
  work: Promise<unknown>
): Promise<boolean> {
  return (
    (await attempt(
      trans,
      work.then(() => true)
    )) ?? false
  );
}

async function confirm(
  { trans }: IDataLakeContext,
  title: string,
  body: string,
  label: string
): Promise<boolean> {
  const { button } = await showDialog({
    title,
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({ label })
    ],
    defaultButton: 0
  });
  return button.accept;
}
