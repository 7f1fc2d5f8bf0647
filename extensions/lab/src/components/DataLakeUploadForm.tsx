import type { TranslationBundle } from '@jupyterlab/translation';

import type { IDropped } from '../datalakeStaged.js';
import { chosenFiles } from '../datalakeStaged.js';
import { sizeText } from '../datalakeText.js';
import type { ILake } from '../datalakeTypes.js';
import type { IUploadChoice } from '../datalakeUpload.js';
import type { IForm } from '../widgets/FormDialog.js';
import { DaysField, Group, PairsField, TextField } from './DataLakeFields.js';

export interface IDataLakeUploadFormProps extends IForm<IUploadChoice> {
  lake: ILake;
  /** What was dropped: then nothing is chosen here. */
  dropped: readonly IDropped[];
  trans: TranslationBundle;
}

/** What to upload, and where to. */
export function DataLakeUploadForm(
  props: IDataLakeUploadFormProps
): JSX.Element {
  const { dropped, lake, set, trans, value } = props;
  const isRucio = lake.kind === 'rucio';
  return (
    <>
      {dropped.length > 0 ? (
        <p>{filesText(dropped, trans)}</p>
      ) : (
        <Sources {...props} />
      )}
      <TextField
        label={
          isRucio
            ? trans.__('Dataset')
            : trans.__('Folder in %1; it is made if there is none', lake.title)
        }
        value={value.target}
        placeholder={isRucio ? 'scope:name' : ''}
        note={isRucio ? trans.__('It is made if there is none.') : undefined}
        set={target => set({ target })}
      />
      <TextField
        label={trans.__('Names begin with')}
        value={value.prefix}
        note={
          dropped.length > 0
            ? undefined
            : trans.__(
                "A folder's own name if it is empty, for a folder of this server."
              )
        }
        set={prefix => set({ prefix })}
      />
      {isRucio && (
        <>
          <TextField
            label={trans.__('RSE')}
            value={value.rse}
            placeholder={lake.rse ?? ''}
            note={trans.__(
              "This site's if it is empty; another one gets the files through its door."
            )}
            set={rse => set({ rse })}
          />
          <DaysField
            label={trans.__('Days to keep it')}
            days={value.days}
            set={days => set({ days })}
            trans={trans}
          />
          <Group title={trans.__('Metadata of the dataset')}>
            <PairsField
              pairs={value.pairs}
              set={pairs => set({ pairs })}
              trans={trans}
            />
          </Group>
        </>
      )}
    </>
  );
}

function Sources(props: IDataLakeUploadFormProps): JSX.Element {
  const { set, trans, value } = props;
  return (
    <>
      <TextField
        label={trans.__('File or folder on this server')}
        value={value.source}
        placeholder={trans.__('results/run-3')}
        set={source => set({ source, files: [] })}
      />
      <div className="jp-farlab-LakeForm-line">
        <Own {...props} label={trans.__('or files of your own computer')} />
        <Own
          {...props}
          label={trans.__('or a folder of your own computer')}
          isFolder
        />
      </div>
      {value.files.length > 0 && <p>{filesText(value.files, trans)}</p>}
    </>
  );
}

function Own(
  props: IDataLakeUploadFormProps & { label: string; isFolder?: boolean }
): JSX.Element {
  const { isFolder, label, set } = props;
  return (
    <label>
      {label}
      <input
        type="file"
        multiple
        ref={input => isFolder && input?.setAttribute('webkitdirectory', '')}
        onChange={event =>
          set({
            files: event.target.files ? chosenFiles(event.target.files) : [],
            source: ''
          })
        }
      />
    </label>
  );
}

function filesText(
  files: readonly IDropped[],
  trans: TranslationBundle
): string {
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  return trans._n(
    '%1 file of your computer (%2)',
    '%1 files of your computer (%2)',
    files.length,
    sizeText(size)
  );
}
