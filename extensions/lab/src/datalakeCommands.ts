import type { Widget } from '@lumino/widgets';

import { IDataLakeContext } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import {
  copy,
  createDataset,
  download,
  openInNotebook,
  shareLink
} from './datalakeFileActions.js';
import { lakeIcon } from './datalakeIcons.js';
import { takesLogin } from './datalakeLakes.js';
import { logIn, logOut } from './datalakeLogin.js';
import { makeAvailable } from './datalakeRuleActions.js';
import type { ILake } from './datalakeTypes.js';
import { can, isContainer, isDid } from './datalakeTypes.js';
import { uploadFromServer } from './datalakeUpload.js';

/** The ids of the commands. */
export const DataLakeCommandIDs = {
  show: 'farlab:show-datalake',
  refresh: 'farlab:refresh-datalake',
  open: 'farlab:open-lake-file',
  makeAvailable: 'farlab:make-lake-data-available',
  preview: 'farlab:preview-lake-file',
  copyName: 'farlab:copy-lake-name',
  copyPath: 'farlab:copy-lake-path',
  share: 'farlab:share-lake-link',
  download: 'farlab:download-lake-file',
  upload: 'farlab:upload-to-lake',
  create: 'farlab:create-lake-dataset',
  logIn: 'farlab:log-in-to-lake',
  logOut: 'farlab:log-out-of-lake'
} as const;

/** A row of the tree. */
const ROW = '.jp-farlab-LakeRow';

/** A command about the selected entry. */
interface IEntryCommand {
  id: string;
  /** In the menu and on buttons. */
  label: string;
  /** In the palette, where nothing says what it is about. */
  longLabel: string;
  caption: string;
  suits: (subject: ISubject) => boolean;
  run: (subject: ISubject) => void | Promise<void>;
}

/** Add the commands, and those about rows to their context menu. */
export function addDataLakeCommands(
  context: IDataLakeContext,
  panel: Widget,
  refresh: () => void
): void {
  const { app, trans } = context;
  app.commands.addCommand(DataLakeCommandIDs.show, {
    label: trans.__('Show DataLake'),
    caption: trans.__('Browse data at many sites'),
    icon: lakeIcon,
    execute: () => app.shell.activateById(panel.id)
  });
  app.commands.addCommand(DataLakeCommandIDs.refresh, {
    label: trans.__('Refresh DataLake'),
    caption: trans.__('Read the lakes anew'),
    execute: refresh
  });
  [...fileCommands(context), ...collectionCommands(context)].forEach(
    (command, rank) => addEntryCommand(context, command, rank)
  );
  addLakeCommands(context);
}

function addEntryCommand(
  { app, tree }: IDataLakeContext,
  { caption, id, label, longLabel, run, suits }: IEntryCommand,
  rank: number
): void {
  const subject = (): ISubject | null => {
    const { entry = null, lake } = tree.selected ?? {};
    const found = entry && lake ? { entry, lake } : null;
    return found && suits(found) ? found : null;
  };
  app.commands.addCommand(id, {
    label: args => (args.isMenu ? label : longLabel),
    caption,
    isEnabled: () => subject() !== null,
    isVisible: args => !args.isMenu || subject() !== null,
    execute: async () => {
      const found = subject();
      if (found) {
        await run(found);
      }
    }
  });
  const args = { isMenu: true };
  app.contextMenu.addItem({ command: id, args, selector: ROW, rank });
}

function fileCommands(context: IDataLakeContext): IEntryCommand[] {
  const { details, pane, trans } = context;
  const isFile = ({ entry }: ISubject) => !isContainer(entry);
  return [
    {
      id: DataLakeCommandIDs.open,
      label: trans.__('Open in Notebook'),
      longLabel: trans.__('Open the Selected File of the Lake in a Notebook'),
      caption: trans.__('Put the code that opens it into a new cell'),
      suits: isFile,
      run: subject => openInNotebook(context, subject)
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
      label: trans.__('Copy Link to Share'),
      longLabel: trans.__('Copy a Link to the Selected File of the Lake'),
      caption: trans.__('It works for a day, without an account'),
      suits: subject => isFile(subject) && can(subject.lake, 'link'),
      run: subject => shareLink(context, subject)
    },
    {
      id: DataLakeCommandIDs.download,
      label: trans.__('Download'),
      longLabel: trans.__('Download the Selected File of the Lake'),
      caption: trans.__('Download it to your own computer'),
      suits: subject => isFile(subject) && can(subject.lake, 'read'),
      run: subject => download(context, subject)
    }
  ];
}

function collectionCommands(context: IDataLakeContext): IEntryCommand[] {
  const { trans } = context;
  return [
    {
      id: DataLakeCommandIDs.makeAvailable,
      label: trans.__('Make Available Here…'),
      longLabel: trans.__('Make the Selected Data of the Lake Available Here…'),
      caption: trans.__('Have it brought to this site for some days'),
      suits: ({ entry, lake }) =>
        isDid(lake, entry) && can(lake, 'rules') && lake.rse !== null,
      run: subject => makeAvailable(context, subject)
    },
    {
      id: DataLakeCommandIDs.copyName,
      label: trans.__('Copy Name'),
      longLabel: trans.__('Copy the Name of the Selected Data of the Lake'),
      caption: trans.__('Copy the name by which its lake finds it'),
      suits: () => true,
      run: ({ entry }) => copy(context, entry.path, entry.path)
    },
    {
      id: DataLakeCommandIDs.upload,
      label: trans.__('Upload…'),
      longLabel: trans.__('Upload to the Selected Dataset of the Lake…'),
      caption: trans.__('Upload a file or a folder of this machine'),
      suits: takesUploads,
      run: subject => uploadFromServer(context, subject)
    },
    {
      id: DataLakeCommandIDs.create,
      label: trans.__('New Dataset…'),
      longLabel: trans.__('New Dataset in the Selected Scope of the Lake…'),
      caption: trans.__('Make an empty dataset'),
      suits: ({ entry, lake }) => entry.kind === 'scope' && can(lake, 'attach'),
      run: subject => createDataset(context, subject)
    }
  ];
}

/** Whether files can be uploaded to an entry. */
export function takesUploads({ entry, lake }: ISubject): boolean {
  return (
    lake.kind === 'rucio' &&
    can(lake, 'write') &&
    (entry.kind === 'scope' || entry.kind === 'dataset')
  );
}

function addLakeCommands(context: IDataLakeContext): void {
  const { app, trans, tree } = context;
  const add = (
    id: string,
    label: string,
    suits: (lake: ILake) => boolean,
    run: (lake: ILake) => Promise<void>
  ) => {
    const lake = (): ILake | null => {
      const node = tree.selected;
      return node && takesLogin(node.lake) && suits(node.lake)
        ? node.lake
        : null;
    };
    app.commands.addCommand(id, {
      label,
      caption: trans.__('Your identity in the selected lake'),
      isEnabled: () => lake() !== null,
      isVisible: args => !args.isMenu || lake() !== null,
      execute: async () => {
        const found = lake();
        if (found) {
          await run(found);
        }
      }
    });
    const selector = `${ROW}[data-kind="lake"]`;
    const args = { isMenu: true };
    app.contextMenu.addItem({ command: id, args, selector, rank: 90 });
  };
  add(
    DataLakeCommandIDs.logIn,
    trans.__('Log in to Lake…'),
    lake => !lake.logged_in,
    lake => logIn(context, lake)
  );
  add(
    DataLakeCommandIDs.logOut,
    trans.__('Log out of Lake'),
    lake => lake.logged_in,
    lake => logOut(context, lake)
  );
}
