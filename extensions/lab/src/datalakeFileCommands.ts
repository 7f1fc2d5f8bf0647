import type { IDataLakeContext } from './datalakeContext.js';
import { copyTo } from './datalakeCopyActions.js';
import type { ISubject } from './datalakeDetails.js';
import {
  copy,
  download,
  openInNotebook,
  shareLink
} from './datalakeFileActions.js';
import { DataLakeCommandIDs, IEntryCommand } from './datalakeIds.js';
import { can, isContainer, isStorage } from './datalakeTypes.js';

/** The commands about files, and about copies of what is selected. */
export function fileCommands(context: IDataLakeContext): IEntryCommand[] {
  const { details, pane, trans } = context;
  const isFile = ({ entry }: ISubject) => !isContainer(entry);
  return [
    {
      id: DataLakeCommandIDs.open,
      label: trans.__('Open in Notebook'),
      longLabel: trans.__('Open the Selected File of the Lake in a Notebook'),
      caption: trans.__('Put the code that opens it into a new cell'),
      suits: isFile,
      run: ([subject]) => openInNotebook(context, subject)
    },
    {
      id: DataLakeCommandIDs.preview,
      label: trans.__('Preview'),
      longLabel: trans.__('Preview the Selected File of the Lake'),
      caption: trans.__('Show its first lines, or its header'),
      suits: isFile,
      run: () => {
        pane.show('preview');
      }
    },
    {
      id: DataLakeCommandIDs.copyPath,
      label: trans.__('Copy Path on This Machine'),
      longLabel: trans.__('Copy the Path of the Selected File of the Lake'),
      caption: trans.__('Copy where it is on this machine'),
      suits: subject =>
        details.here !== null && details.subject?.entry === subject.entry,
      run: () => copy(context, details.here ?? '', trans.__('the path'))
    },
    {
      id: DataLakeCommandIDs.share,
      label: trans.__('Copy Link to Share…'),
      longLabel: trans.__('Copy a Link to the Selected File of the Lake…'),
      caption: trans.__('It works for a while, without an account'),
      suits: subject => isFile(subject) && can(subject.lake, 'link'),
      run: ([subject]) => shareLink(context, subject)
    },
    {
      id: DataLakeCommandIDs.download,
      label: trans.__('Download'),
      longLabel: trans.__('Download the Selected File of the Lake'),
      caption: trans.__('Download it to your own computer'),
      suits: subject => isFile(subject) && can(subject.lake, 'read'),
      run: ([subject]) => download(context, subject)
    },
    {
      id: DataLakeCommandIDs.copyTo,
      label: trans.__('Copy to…'),
      longLabel: trans.__(
        'Copy the Selected Data of the Lake to Another Lake…'
      ),
      caption: trans.__('Copy it to a folder of this lake or of another one'),
      isForMany: true,
      suits: ({ entry, lake }) =>
        (isStorage(lake) && entry.path !== '') ||
        (lake.kind === 'rucio' &&
          (entry.kind === 'file' || entry.kind === 'dataset')),
      run: subjects => copyTo(context, subjects)
    }
  ];
}
