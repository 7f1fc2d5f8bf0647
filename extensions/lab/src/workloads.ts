import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { pollWhile } from './polls.js';
import { IFarlab } from './tokens.js';
import { addWorkloadCommands, WorkloadCommandIDs } from './workloadCommands.js';
import { WorkloadsModel } from './workloadsModel.js';
import { WorkloadsPanel } from './widgets/WorkloadsPanel.js';

/** Milliseconds between two looks at the list. */
const INTERVAL = 3000;

/** The sidebar that lists what the user runs at sites. */
export const workloads: JupyterFrontEndPlugin<void> = {
  id: '@farlab/lab:workloads',
  description: 'Lists what you run at sites, with logs, cancelling, attaching.',
  autoStart: true,
  requires: [IFarlab],
  optional: [ICommandPalette, ILayoutRestorer, ITranslator],
  activate
};

function activate(
  app: JupyterFrontEnd,
  farlab: IFarlab,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null,
  translator: ITranslator | null
): void {
  const trans = (translator ?? nullTranslator).load('farlab');
  const model = new WorkloadsModel(farlab);
  const run = (command: string) => (uid: string) =>
    void app.commands.execute(command, { uid });
  const panel = new WorkloadsPanel({
    model,
    trans,
    refresh: () => poll.refresh(),
    actions: {
      showLog: run(WorkloadCommandIDs.showLog),
      attach: run(WorkloadCommandIDs.attach),
      cancel: run(WorkloadCommandIDs.cancel)
    }
  });
  const poll = pollWhile(
    () => panel.isVisible,
    () => model.refresh(),
    INTERVAL
  );
  app.shell.add(panel, 'left', { rank: 451, type: 'Farlab' });
  restorer?.add(panel, panel.id);
  window.setInterval(() => panel.isVisible && model.tick(), 1000);

  addWorkloadCommands(app, { farlab, model, panel, trans });
  for (const command of Object.values(WorkloadCommandIDs)) {
    palette?.addItem({ command, category: trans.__('Farlab') });
  }
}
