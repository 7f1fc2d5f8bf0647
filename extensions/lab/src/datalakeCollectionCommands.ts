import {
  attach,
  closeCollection,
  createCollection,
  createFolder,
  detach,
  editMetadata,
  removeEntries,
  setLifetime
} from './datalakeContentActions.js';
import type { IDataLakeContext } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import { copy } from './datalakeFileActions.js';
import { DataLakeCommandIDs, IEntryCommand } from './datalakeIds.js';
import { makeAvailable } from './datalakeRuleActions.js';
import {
  can,
  isCollection,
  isContainer,
  isDid,
  isStorage
} from './datalakeTypes.js';
import { upload } from './datalakeUpload.js';

/** The commands about datasets, containers and folders, and what is in them. */
export function collectionCommands(context: IDataLakeContext): IEntryCommand[] {
  return [
    ...takingCommands(context),
    ...makingCommands(context),
    ...changingCommands(context)
  ];
}

function takingCommands(context: IDataLakeContext): IEntryCommand[] {
  const { trans } = context;
  return [
    {
      id: DataLakeCommandIDs.makeAvailable,
      label: trans.__('Make Available…'),
      longLabel: trans.__('Make the Selected Data of the Lake Available…'),
      caption: trans.__('Have it brought to a site for some days'),
      isForMany: true,
      suits: ({ entry, lake }) => isDid(lake, entry) && can(lake, 'rules'),
      run: subjects => makeAvailable(context, subjects)
    },
    {
      id: DataLakeCommandIDs.copyName,
      label: trans.__('Copy Name'),
      longLabel: trans.__('Copy the Name of the Selected Data of the Lake'),
      caption: trans.__('Copy the name by which its lake finds it'),
      isForMany: true,
      suits: ({ entry }) => entry.path !== '',
      run: subjects => {
        const names = subjects.map(({ entry }) => entry.path).join('\n');
        copy(
          context,
          names,
          subjects.length === 1 ? names : trans.__('%1 names', subjects.length)
        );
      }
    }
  ];
}

function makingCommands(context: IDataLakeContext): IEntryCommand[] {
  const { trans } = context;
  const isScope = ({ entry, lake }: ISubject) =>
    entry.kind === 'scope' && can(lake, 'attach');
  return [
    {
      id: DataLakeCommandIDs.upload,
      label: trans.__('Upload…'),
      longLabel: trans.__(
        'Upload to the Selected Dataset or Folder of the Lake…'
      ),
      caption: trans.__('Upload files and folders'),
      suits: takesUploads,
      run: ([subject]) => upload(context, subject)
    },
    {
      id: DataLakeCommandIDs.create,
      label: trans.__('New Dataset…'),
      longLabel: trans.__('New Dataset in the Selected Scope of the Lake…'),
      caption: trans.__('Make an empty dataset'),
      suits: isScope,
      run: ([subject]) => createCollection(context, subject, 'dataset')
    },
    {
      id: DataLakeCommandIDs.createContainer,
      label: trans.__('New Container…'),
      longLabel: trans.__('New Container in the Selected Scope of the Lake…'),
      caption: trans.__('Make an empty container of datasets'),
      suits: isScope,
      run: ([subject]) => createCollection(context, subject, 'container')
    },
    {
      id: DataLakeCommandIDs.createFolder,
      label: trans.__('New Folder…'),
      longLabel: trans.__('New Folder in the Selected Folder of the Lake…'),
      caption: trans.__('Make an empty folder'),
      suits: ({ entry, lake }) =>
        isStorage(lake) && can(lake, 'write') && isContainer(entry),
      run: ([subject]) => createFolder(context, subject)
    }
  ];
}

function changingCommands(context: IDataLakeContext): IEntryCommand[] {
  const { selection, trans } = context;
  return [
    {
      id: DataLakeCommandIDs.attach,
      label: trans.__('Add to Dataset…'),
      longLabel: trans.__('Add the Selected Data to a Dataset of the Lake…'),
      caption: trans.__('Put it into a dataset or container too'),
      isForMany: true,
      suits: ({ entry, lake }) => isDid(lake, entry) && can(lake, 'attach'),
      run: subjects => attach(context, subjects)
    },
    {
      id: DataLakeCommandIDs.detach,
      label: trans.__('Take Out of Dataset…'),
      longLabel: trans.__('Take the Selected Data Out of Its Dataset…'),
      caption: trans.__('Take it out of the dataset or container it is in'),
      isForMany: true,
      suits: ({ entry, lake }) => {
        const parent = selection.parent?.entry;
        return (
          isDid(lake, entry) &&
          can(lake, 'attach') &&
          !!parent &&
          isCollection(lake, parent)
        );
      },
      run: subjects => detach(context, subjects)
    },
    {
      id: DataLakeCommandIDs.metadata,
      label: trans.__('Edit Metadata…'),
      longLabel: trans.__(
        'Edit the Metadata of the Selected Data of the Lake…'
      ),
      caption: trans.__('Add, change and remove keys'),
      keys: ['F2'],
      suits: ({ entry, lake }) => isDid(lake, entry) && can(lake, 'metadata'),
      run: ([subject]) => editMetadata(context, subject)
    },
    {
      id: DataLakeCommandIDs.lifetime,
      label: trans.__('Set Lifetime…'),
      longLabel: trans.__(
        'Set the Lifetime of the Selected Dataset of the Lake…'
      ),
      caption: trans.__('Say when it ends'),
      suits: ({ entry, lake }) =>
        isCollection(lake, entry) && can(lake, 'rules'),
      run: ([subject]) => setLifetime(context, subject)
    },
    {
      id: DataLakeCommandIDs.close,
      label: trans.__('Close…'),
      longLabel: trans.__('Close the Selected Dataset of the Lake…'),
      caption: trans.__('Let nothing be put into it any more'),
      suits: ({ entry, lake }) =>
        isCollection(lake, entry) &&
        can(lake, 'attach') &&
        entry.state !== 'closed',
      run: ([subject]) => closeCollection(context, subject)
    },
    {
      id: DataLakeCommandIDs.remove,
      label: trans.__('Delete…'),
      longLabel: trans.__('Delete the Selected Files of the Lake…'),
      caption: trans.__('Delete files and empty folders'),
      keys: ['Delete'],
      isForMany: true,
      suits: ({ entry, lake }) =>
        isStorage(lake) && can(lake, 'remove') && entry.path !== '',
      run: subjects => removeEntries(context, subjects)
    }
  ];
}

/** Whether files can be uploaded to an entry. */
export function takesUploads({ entry, lake }: ISubject): boolean {
  const isTarget = isStorage(lake)
    ? isContainer(entry)
    : entry.kind === 'scope' || entry.kind === 'dataset';
  return can(lake, 'write') && isTarget;
}
