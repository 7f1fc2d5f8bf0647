import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import {
  ITranslator,
  nullTranslator,
  TranslationBundle
} from '@jupyterlab/translation';

import { farlabIcon } from './icons.js';
import { IWarning, ServerModel } from './model.js';
import { warningText } from './text.js';
import { IFarlab } from './tokens.js';
import { ServerPanel } from './widgets/ServerPanel.js';

const ID = '@farlab/lab:server';

/** Minutes before the end to warn at, should the settings not load. */
const WARN_AT = [10, 2];

/** The ids of the commands. */
export const CommandIDs = {
  showServer: 'farlab:show-server'
} as const;

/** The sidebar that shows where this server runs, and the warning before it ends. */
export const server: JupyterFrontEndPlugin<void> = {
  id: ID,
  description:
    'Shows where this server runs and warns before its time is over.',
  autoStart: true,
  requires: [IFarlab],
  optional: [ICommandPalette, ILayoutRestorer, ISettingRegistry, ITranslator],
  activate
};

function activate(
  app: JupyterFrontEnd,
  farlab: IFarlab,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null,
  settings: ISettingRegistry | null,
  translator: ITranslator | null
): void {
  const trans = (translator ?? nullTranslator).load('farlab');
  const model = new ServerModel(farlab);
  const panel = new ServerPanel(model, trans);
  app.shell.add(panel, 'left', { rank: 450, type: 'Farlab' });
  restorer?.add(panel, panel.id);

  app.commands.addCommand(CommandIDs.showServer, {
    label: trans.__('Show Where This Server Runs'),
    caption: trans.__('Show the site, the node, the job and the time left'),
    icon: farlabIcon,
    execute: () => app.shell.activateById(panel.id)
  });
  palette?.addItem({
    command: CommandIDs.showServer,
    category: trans.__('Farlab')
  });

  const notify = notifier(app, trans);
  model.warned.connect((_, warning) => notify(warning));
  // A warning before the layout is restored would lead to a panel that is closed again.
  void Promise.all([watchSettings(model, settings), app.restored]).then(() =>
    model.refresh()
  );
  window.setInterval(() => model.tick(), 1000);
  document.addEventListener('visibilitychange', () => model.tick());
}

/** Keep the model's limits as the user set them. */
async function watchSettings(
  model: ServerModel,
  registry: ISettingRegistry | null
): Promise<void> {
  try {
    const settings = await registry?.load(ID);
    const apply = () =>
      model.warnAt((settings?.composite.warnAt as number[]) ?? WARN_AT);
    settings?.changed.connect(apply);
    apply();
  } catch (error) {
    console.warn(`The settings of ${ID} did not load; taking`, WARN_AT, error);
    model.warnAt(WARN_AT);
  }
}

/** Make a function that shows warnings; a later one takes the place of an earlier one. */
function notifier(
  app: JupyterFrontEnd,
  trans: TranslationBundle
): (warning: IWarning) => void {
  let id = '';
  return ({ left, end }) => {
    Notification.dismiss(id);
    id = Notification.warning(warningText(left, end, trans), {
      autoClose: false,
      actions: [
        {
          label: trans.__('Show'),
          caption: trans.__('Show the site and the time left'),
          callback: () => void app.commands.execute(CommandIDs.showServer)
        }
      ]
    });
  };
}
