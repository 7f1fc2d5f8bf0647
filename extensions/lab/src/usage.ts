import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  ICommandPalette,
  MainAreaWidget,
  WidgetTracker
} from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { ServerConnection } from '@jupyterlab/services';
import { IStatusBar } from '@jupyterlab/statusbar';
import {
  ITranslator,
  nullTranslator,
  TranslationBundle
} from '@jupyterlab/translation';

import { FarlabHttp } from './http.js';
import { usageIcon } from './icons.js';
import { pollWhile } from './polls.js';
import { UsageClient } from './usageClient.js';
import { UsageModel } from './usageModel.js';
import { UsagePanel } from './widgets/UsagePanel.js';
import { UsageStatus } from './widgets/UsageStatus.js';

const ID = '@farlab/lab:accounting';
/** Milliseconds between two looks at the figures. */
const INTERVAL = 30_000;
/** Milliseconds between two looks for the status bar. */
const STATUS_INTERVAL = 300_000;

/** The ids of the commands. */
export const UsageCommandIDs = { show: 'farlab:show-usage' } as const;

/** The screen that tells what was used, and its summary in the status bar. */
export const accounting: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Shows what you used at sites, and how your budgets stand.',
  autoStart: true,
  optional: [
    ICommandPalette,
    ILauncher,
    ILayoutRestorer,
    IStatusBar,
    ITranslator
  ],
  activate
};

function activate(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  launcher: ILauncher | null,
  restorer: ILayoutRestorer | null,
  statusBar: IStatusBar | null,
  translator: ITranslator | null
): void {
  const trans = (translator ?? nullTranslator).load('farlab');
  const settings =
    app.serviceManager.serverSettings ?? ServerConnection.makeSettings();
  const client = new UsageClient(new FarlabHttp(settings));
  const command = UsageCommandIDs.show;
  const tracker = new WidgetTracker<MainAreaWidget>({ namespace: 'farlab' });

  app.commands.addCommand(command, {
    label: args =>
      args.isLauncher ? trans.__('Usage') : trans.__('Show Usage'),
    caption: trans.__('Show what you used at sites, and your budgets'),
    icon: usageIcon,
    execute: () => {
      const widget = tracker.currentWidget ?? newScreen(client, trans);
      if (!widget.isAttached) {
        app.shell.add(widget, 'main');
        void tracker.add(widget);
      }
      app.shell.activateById(widget.id);
    }
  });
  void restorer?.restore(tracker, { command, name: () => 'usage' });
  const category = trans.__('Farlab');
  palette?.addItem({ command, category });
  launcher?.add({ command, category, args: { isLauncher: true } });
  if (statusBar) {
    addStatus(
      statusBar,
      client,
      trans,
      () => void app.commands.execute(command)
    );
  }
}

function newScreen(
  client: UsageClient,
  trans: TranslationBundle
): MainAreaWidget {
  const model = new UsageModel(client);
  const content = new UsagePanel({
    model,
    trans,
    refresh: () => poll.refresh()
  });
  const poll = pollWhile(
    () => content.isVisible,
    () => model.refresh(),
    INTERVAL
  );
  void model.askWhose();
  void model.rereadHistory();
  content.disposed.connect(() => {
    poll.dispose();
    model.dispose();
  });
  const widget = new MainAreaWidget({ content });
  widget.id = 'farlab-usage';
  widget.toolbar.hide();
  return widget;
}

function addStatus(
  statusBar: IStatusBar,
  client: UsageClient,
  trans: TranslationBundle,
  show: () => void
): void {
  const model = new UsageModel(client);
  const item = new UsageStatus(model, trans, show);
  // Where there is no service, nothing is shown; the poll then asks less and less often.
  pollWhile(
    () => true,
    () => model.refresh(),
    STATUS_INTERVAL
  );
  statusBar.registerStatusItem(ID, { item, align: 'right', rank: 60 });
}
