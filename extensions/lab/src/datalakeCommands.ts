import type { Widget } from '@lumino/widgets';

import { attachedDids, showAttached } from './datalakeAttachments.js';
import { collectionCommands } from './datalakeCollectionCommands.js';
import { IDataLakeContext } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import { fileCommands } from './datalakeFileCommands.js';
import { lakeIcon } from './datalakeIcons.js';
import { DataLakeCommandIDs, IEntryCommand } from './datalakeIds.js';
import { takesLogin } from './datalakeLakes.js';
import { logIn, logOut } from './datalakeLogin.js';
import { stacCommands } from './datalakeStacCommands.js';
import type { ILake } from './datalakeTypes.js';

/** A row of the tree. */
const ROW = '.jp-farlab-LakeRow';
/** The tree, while keys go to it. */
const TREE = '.jp-farlab-LakeTree:focus';

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
  app.commands.addCommand(DataLakeCommandIDs.showAttached, {
    label: trans.__('Show Attached DIDs of This Notebook'),
    caption: trans.__('What Rucio’s own extension has attached to it'),
    isEnabled: () => attachedDids(app.shell.currentWidget).length > 0,
    execute: async () => {
      await showAttached(context);
      app.shell.activateById(panel.id);
    }
  });
  [
    ...fileCommands(context),
    ...collectionCommands(context),
    ...stacCommands(context)
  ].forEach((command, rank) => addEntryCommand(context, command, rank));
  addLakeCommands(context);
}

function addEntryCommand(
  { app, selection }: IDataLakeContext,
  command: IEntryCommand,
  rank: number
): void {
  const { caption, id, keys, label, longLabel, run } = command;
  const found = () => suitable(command, selection.subjects);
  app.commands.addCommand(id, {
    label: args => (args.isMenu ? label : longLabel),
    caption,
    isEnabled: () => found() !== null,
    isVisible: args => !args.isMenu || found() !== null,
    execute: async () => {
      const subjects = found();
      if (subjects) {
        await run(subjects);
      }
    }
  });
  if (keys) {
    app.commands.addKeyBinding({ command: id, keys, selector: TREE });
  }
  const args = { isMenu: true };
  app.contextMenu.addItem({ command: id, args, selector: ROW, rank });
}

/** What a command would be about; null if it is not for that. */
function suitable(
  { isForMany, suits }: IEntryCommand,
  subjects: ISubject[]
): [ISubject, ...ISubject[]] | null {
  const [first, ...others] = subjects;
  const fits =
    first !== undefined &&
    (isForMany || others.length === 0) &&
    subjects.every(suits);
  return fits ? [first, ...others] : null;
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
