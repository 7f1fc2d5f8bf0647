import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { AvailabilityModel } from './datalakeAvailability.js';
import { DataLakeClient } from './datalakeClient.js';
import { addDataLakeCommands } from './datalakeCommands.js';
import type { IDataLakeContext } from './datalakeContext.js';
import { DetailsModel } from './datalakeDetails.js';
import { acceptDrops } from './datalakeDrop.js';
import { DataLakeCommandIDs } from './datalakeIds.js';
import { LakesModel } from './datalakeLakes.js';
import { logIn } from './datalakeLogin.js';
import { followUploads } from './datalakeNotices.js';
import { PaneModel } from './datalakePane.js';
import { ruleActions } from './datalakeRuleActions.js';
import { SelectionModel, subjectOf } from './datalakeSelection.js';
import { goTo } from './datalakeStacActions.js';
import { SuggestionsModel } from './datalakeSuggestions.js';
import { TransfersModel } from './datalakeTransfers.js';
import { LakeTree } from './datalakeTree.js';
import { pollWhile } from './polls.js';
import { DataLakePanel } from './widgets/DataLakePanel.js';

/** Milliseconds between two looks at what is on its way. */
const INTERVAL = 4000;
/** Milliseconds between two looks at what others may bring here. */
const SLOW_INTERVAL = 15_000;

/** The buttons about the selected entry. */
const BUTTONS: readonly string[] = [
  DataLakeCommandIDs.open,
  DataLakeCommandIDs.makeAvailable,
  DataLakeCommandIDs.upload,
  DataLakeCommandIDs.create,
  DataLakeCommandIDs.createFolder,
  DataLakeCommandIDs.metadata,
  DataLakeCommandIDs.download,
  DataLakeCommandIDs.copyTo,
  DataLakeCommandIDs.share,
  DataLakeCommandIDs.register,
  DataLakeCommandIDs.copyName,
  DataLakeCommandIDs.copyPath
];

/** The sidebar with the lakes of this server. */
export const datalake: JupyterFrontEndPlugin<void> = {
  id: '@farlab/lab:datalake',
  description: 'Browses the lakes of this server, and brings data here.',
  autoStart: true,
  optional: [ICommandPalette, ILayoutRestorer, ITranslator],
  activate
};

function activate(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null,
  translator: ITranslator | null
): void {
  const trans = (translator ?? nullTranslator).load('farlab');
  const context = newContext(app, trans);
  const { availability, lakes } = context;
  const refresh = () => {
    availability.forget();
    void lakes.refresh();
  };
  const panel = new DataLakePanel({
    ...context,
    suggestions: new SuggestionsModel(context.client),
    commands: app.commands,
    ids: BUTTONS,
    rules: ruleActions(context),
    thumbnailUrl: ({ entry, lake }) =>
      context.client.thumbnailUrl(lake.name, entry.path),
    goTo: to => void goTo(context, to),
    enter: () => context.pane.show('preview'),
    logIn: tail => void logIn(context, tail.node.lake),
    refresh
  });
  app.shell.add(panel, 'left', { rank: 452, type: 'Farlab' });
  restorer?.add(panel, panel.id);
  addDataLakeCommands(context, panel, refresh);
  acceptDrops(context, panel.node);
  connect(context);
  follow(context, panel);
  followUploads(context);
  for (const command of Object.values(DataLakeCommandIDs)) {
    palette?.addItem({ command, category: trans.__('Farlab') });
  }
}

function newContext(
  app: JupyterFrontEnd,
  trans: IDataLakeContext['trans']
): IDataLakeContext {
  const settings =
    app.serviceManager.serverSettings ?? ServerConnection.makeSettings();
  const client = new DataLakeClient(settings);
  const tree = new LakeTree(client);
  return {
    app,
    client,
    trans,
    lakes: new LakesModel(client),
    tree,
    selection: new SelectionModel(tree),
    availability: new AvailabilityModel(client),
    details: new DetailsModel(client),
    transfers: new TransfersModel(client),
    pane: new PaneModel()
  };
}

/** Let each model follow those that it depends on. */
function connect(context: IDataLakeContext): void {
  const { app, availability, details, lakes, pane, tree } = context;
  lakes.changed.connect(() => tree.show(lakes.lakes));
  tree.changed.connect(() => {
    const lake = tree.selected?.lake;
    const subject = tree.selected && subjectOf(tree.selected);
    details.select(subject);
    if (lake) {
      void lakes.prepare(lake).then(() => app.commands.notifyCommandChanged());
    }
    if (subject && pane.tab === null) {
      pane.show('details');
    }
  });
  const preview = () => {
    if (pane.tab === 'preview') {
      void details.showPreview();
    }
  };
  context.selection.changed.connect(() => app.commands.notifyCommandChanged());
  pane.changed.connect(preview);
  details.changed.connect(() => {
    preview();
    const node = tree.selected;
    const known = node ? availability.of(node) : undefined;
    if (details.here !== null && known !== undefined && known !== 'here') {
      availability.forget(); // it has come meanwhile
    }
    app.commands.notifyCommandChanged();
  });
}

/** Ask again and again for what moves, while it is seen. */
function follow(context: IDataLakeContext, panel: DataLakePanel): void {
  const { details, pane, transfers } = context;
  const transfersPoll = pollWhile(
    () => panel.isVisible && pane.tab === 'transfers',
    () => transfers.refresh(),
    INTERVAL
  );
  pane.changed.connect(() => {
    if (pane.tab === 'transfers') {
      void transfersPoll.refresh();
    }
  });
  pollWhile(
    () => panel.isVisible && pane.tab === 'details' && details.isMoving,
    () => details.refreshRules(),
    INTERVAL
  );
  // A rule of somebody else, or one that was made elsewhere, may bring it.
  pollWhile(
    () => panel.isVisible && pane.tab === 'details' && details.isElsewhere,
    () => details.refresh(),
    SLOW_INTERVAL
  );
}
