import { Dialog, showDialog } from '@jupyterlab/apputils';

import { DataLakeArea, IArea, NOWHERE } from './components/DataLakeArea.js';
import { DataLakeChooser } from './components/DataLakeChooser.js';
import { Check, SelectField, TextField } from './components/DataLakeFields.js';
import { ChooserModel } from './datalakeChooser.js';
import type { IItemWish } from './datalakeClient.js';
import { attempt, IDataLakeContext, tellSuccess } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import type {
  EntryKind,
  ILake,
  IReference,
  IRegistered
} from './datalakeTypes.js';
import { isStorage, LakeFailure } from './datalakeTypes.js';
import { askAndDo } from './widgets/FormDialog.js';

/** What can be gone into to reach where an item can be written. */
const PLACES: readonly EntryKind[] = [
  'folder',
  'bucket',
  'catalogue',
  'collection'
];

/** Show an entry of another lake in the tree. */
export async function goTo(
  { client, lakes, trans, tree }: IDataLakeContext,
  { lake: name, path }: IReference
): Promise<void> {
  const lake = lakes.lakes.find(one => one.name === name);
  if (!lake) {
    return;
  }
  const found = await attempt(trans, client.details(name, path));
  if (found) {
    tree.showEntry(lake, found.entry);
  }
}

/** Make a STAC item of a dataset, and write it where the user says. */
export async function makeItem(
  context: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const { client, details, lakes, trans } = context;
  const targets = lakes.lakes.filter(
    one => isStorage(one) || one.kind === 'stac'
  );
  const first = targets.find(isStorage) ?? targets[0];
  const model = first && new ChooserModel(client, PLACES, first, '');
  const made = await askAndDo({
    title: trans.__('Make a STAC item of %1', entry.name),
    okLabel: trans.__('Make Item'),
    value: { area: NOWHERE, collection: '', lake: first, path: '' },
    form: ({ set, value }) => (
      <>
        <DataLakeArea
          area={value.area}
          set={area => set({ area })}
          trans={trans}
        />
        <TextField
          label={trans.__('Collection')}
          value={value.collection}
          placeholder={trans.__('none')}
          set={collection => set({ collection })}
        />
        {model ? (
          <DataLakeChooser
            model={model}
            lakes={targets}
            chosen={(lake, path) => set({ lake, path })}
            label={trans.__('Where to write it')}
            trans={trans}
          />
        ) : (
          <p>{trans.__('No lake here takes items.')}</p>
        )}
        {value.lake && (
          <p>
            {trans.__(
              'It is written to %1.',
              [value.lake.title, value.path].filter(Boolean).join(': ')
            )}
          </p>
        )}
      </>
    ),
    submit: value => client.makeItem(lake.name, itemWish(entry.path, value)),
    trans
  });
  if (made) {
    tellSuccess(trans.__('Made the item %1.', made.url ?? entry.name));
    await details.refresh();
  }
}

function itemWish(
  path: string,
  value: {
    area: IArea;
    collection: string;
    lake: ILake | undefined;
    path: string;
  }
): IItemWish {
  const { box, from, until } = value.area;
  return {
    path,
    ...(box ? { bbox: box } : {}),
    ...(from ? { start: `${from}T00:00:00Z` } : {}),
    ...(until ? { end: `${until}T23:59:59Z` } : {}),
    ...(value.collection.trim() ? { collection: value.collection.trim() } : {}),
    ...(value.lake ? { to: { lake: value.lake.name, path: value.path } } : {})
  };
}

/** Register the assets of a collection or an item as DIDs of a Rucio. */
export async function register(
  context: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const { lakes, trans } = context;
  const rucios = lakes.lakes.filter(({ kind }) => kind === 'rucio');
  const done = await askAndDo({
    title: trans.__('Register %1 in a lake', entry.name),
    okLabel: trans.__('Register'),
    value: { lake: rucios[0]?.name ?? '', scope: '', dry: false },
    form: ({ set, value }) => (
      <>
        <p>
          {trans.__(
            'Each asset becomes a file of the lake, each item a dataset; the bytes stay where they are.'
          )}
        </p>
        <SelectField
          label={trans.__('Lake')}
          value={value.lake}
          options={rucios.map(({ name, title }) => [name, title])}
          set={name => set({ lake: name })}
        />
        <TextField
          label={trans.__('Scope')}
          value={value.scope}
          placeholder={trans.__("the catalogue's own")}
          set={scope => set({ scope })}
        />
        <Check
          label={trans.__('Only look what would be done')}
          checked={value.dry}
          set={dry => set({ dry })}
        />
      </>
    ),
    submit: async ({ dry, lake: to, scope }) => {
      if (!to) {
        throw new LakeFailure(
          'unsupported',
          trans.__('There is no Rucio here.'),
          trans.__('Add one to the catalogue.')
        );
      }
      const where = scope.trim() ? { lake: to, scope: scope.trim() } : {};
      const pages = await registerAll(context, lake, {
        path: entry.path,
        ...where,
        dry
      });
      return { dry, pages };
    },
    trans
  });
  if (done) {
    await tellRegistered(context, done.pages, done.dry);
  }
}

/** Page after page: a collection may have very many items. */
async function registerAll(
  { client }: IDataLakeContext,
  lake: ILake,
  wish: { path: string; lake?: string; scope?: string; dry: boolean }
): Promise<IRegistered[]> {
  const pages: IRegistered[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const page: IRegistered = await client.register(lake.name, {
      ...wish,
      ...(cursor ? { cursor } : {})
    });
    pages.push(page);
    cursor = page.done ? null : page.next;
  }
  return pages;
}

async function tellRegistered(
  { trans }: IDataLakeContext,
  pages: readonly IRegistered[],
  isDry: boolean
): Promise<void> {
  const datasets = pages.flatMap(page => page.datasets);
  const skipped = pages.flatMap(page => page.skipped);
  const files = datasets.reduce((sum, one) => sum + one.files, 0);
  const known = datasets.reduce((sum, one) => sum + one.known, 0);
  await showDialog({
    title: isDry ? trans.__('This would be done') : trans.__('Registered'),
    body: [
      trans._n('%1 dataset', '%1 datasets', datasets.length),
      trans._n('%1 file', '%1 files', files),
      trans.__('%1 known before', known),
      trans.__('%1 left out', skipped.length),
      ...skipped
        .slice(0, 3)
        .map(({ asset, item, reason }) => `${item}/${asset}: ${reason}`)
    ].join(' · '),
    buttons: [Dialog.okButton()]
  });
}
