import { DataLakeChooser } from './components/DataLakeChooser.js';
import { Check, TextField } from './components/DataLakeFields.js';
import { ChooserModel, joined } from './datalakeChooser.js';
import { IDataLakeContext, tellSuccess } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import type { ILake } from './datalakeTypes.js';
import { can, isStorage, LakeFailure } from './datalakeTypes.js';
import { askAndDo } from './widgets/FormDialog.js';

/** Copy entries to a folder of another lake, or of the same one. */
export async function copyTo(
  context: IDataLakeContext,
  subjects: readonly ISubject[]
): Promise<void> {
  const { client, pane, trans, transfers } = context;
  const source = subjects[0]!.lake;
  const targets = await storages(context);
  const first = targets.find(one => one.name !== source.name) ?? targets[0];
  const title = titleOf(context, subjects);
  const model =
    first && new ChooserModel(client, ['folder', 'bucket'], first, '');
  const done = await askAndDo({
    title: trans.__('Copy %1 to…', title),
    okLabel: trans.__('Copy'),
    value: { lake: first, path: '', overwrite: false },
    form: ({ set, value }) =>
      model && value.lake ? (
        <>
          <DataLakeChooser
            model={model}
            lakes={targets}
            chosen={(lake, path) => set({ lake, path })}
            label={trans.__('Folders')}
            trans={trans}
          />
          <TextField
            label={trans.__('Folder in %1', value.lake.title)}
            value={value.path}
            set={path => set({ path })}
          />
          <Check
            label={trans.__('Replace files that are there already')}
            checked={value.overwrite}
            set={overwrite => set({ overwrite })}
          />
        </>
      ) : (
        <p>
          {trans.__(
            'There is no lake of files and folders here that takes copies.'
          )}
        </p>
      ),
    submit: ({ lake, overwrite, path }) => {
      if (!lake) {
        throw noTarget(context);
      }
      const folder = path.trim().replace(/^\/+|\/+$/g, '');
      return client.copy({
        source: source.name,
        destination: lake.name,
        files: subjects.map(({ entry }) => [
          entry.path,
          joined(folder, entry.name)
        ]),
        title,
        overwrite
      });
    },
    trans
  });
  if (done) {
    tellSuccess(trans.__('Copying %1.', title));
    pane.show('transfers');
    await transfers.refresh().catch(() => undefined); // it shows the failure
  }
}

/** The lakes that take files as they are; what they can do is asked first. */
async function storages({ lakes }: IDataLakeContext): Promise<ILake[]> {
  const found = lakes.lakes.filter(isStorage);
  await Promise.all(found.map(lake => lakes.prepare(lake)));
  return found.filter(lake => can(lake, 'write'));
}

function titleOf(
  { trans }: IDataLakeContext,
  subjects: readonly ISubject[]
): string {
  return subjects.length === 1
    ? subjects[0]!.entry.name
    : trans.__('%1 entries', subjects.length);
}

function noTarget({ trans }: IDataLakeContext): LakeFailure {
  return new LakeFailure(
    'unsupported',
    trans.__('There is nowhere to copy to.'),
    trans.__('Log in to a lake of files and folders first.')
  );
}
