import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addIdentityCommands, IdentityCommandIDs } from './identityCommands.js';
import { IdentityModel } from './identityModel.js';
import { pollWhile } from './polls.js';
import { IFarlab } from './tokens.js';
import { IdentityPanel } from './widgets/IdentityPanel.js';

/** Milliseconds between two looks at all of it. */
const INTERVAL = 60_000;
/** Milliseconds between two looks at what the user does in another tab. */
const FOLLOWING = 3000;

/** The sidebar that tells who the user is at each site. */
export const identity: JupyterFrontEndPlugin<void> = {
  id: '@farlab/lab:identity',
  description: 'Tells who you are at each site, and links accounts.',
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
  const model = new IdentityModel(farlab);
  const run = (command: string) => (site: string) =>
    void app.commands.execute(command, { site });
  const panel = new IdentityPanel({
    model,
    trans,
    refresh: () => poll.refresh(),
    actions: {
      link: run(IdentityCommandIDs.link),
      unlink: run(IdentityCommandIDs.unlink),
      check: run(IdentityCommandIDs.check),
      stopFollowing: site => model.unfollow(site)
    }
  });
  const poll = pollWhile(
    () => panel.isVisible,
    () => model.refresh(),
    INTERVAL
  );
  // Stands by while the other tab is looked at, and asks again as soon as the user is back.
  const following = pollWhile(
    () => model.isFollowing,
    () => model.followUp(),
    FOLLOWING
  );
  app.shell.add(panel, 'left', { rank: 453, type: 'Farlab' });
  restorer?.add(panel, panel.id);

  const follow = () => void following.refresh();
  addIdentityCommands(app, { model, panel, trans, follow });
  for (const command of Object.values(IdentityCommandIDs)) {
    palette?.addItem({ command, category: trans.__('Farlab') });
  }
}
