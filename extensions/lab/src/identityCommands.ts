import type { JupyterFrontEnd } from '@jupyterlab/application';
import {
  Dialog,
  InputDialog,
  Notification,
  showDialog,
  showErrorMessage
} from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { identityIcon } from './icons.js';
import type { IdentityModel } from './identityModel.js';
import type { ISiteIdentity } from './identityTypes.js';
import { failureText } from './text.js';
import type { FarlabError } from './tokens.js';

/** The ids of the commands. */
export const IdentityCommandIDs = {
  show: 'farlab:show-identity',
  link: 'farlab:link-account',
  unlink: 'farlab:unlink-account',
  check: 'farlab:check-account'
} as const;

/** A site in the panel. */
const ROW = '.jp-farlab-Identity';

export interface IIdentityContext {
  model: IdentityModel;
  panel: Widget;
  trans: TranslationBundle;
  /** Looks how far the user is in the other tab, until its end. */
  follow: () => void;
}

/** A command about one site. */
interface ISiteCommand {
  id: string;
  label: string;
  caption: string;
  suits: (site: ISiteIdentity) => boolean;
  run: (site: ISiteIdentity) => void | Promise<void>;
}

/** Add the commands, and those about one site to its context menu. */
export function addIdentityCommands(
  app: JupyterFrontEnd,
  context: IIdentityContext
): void {
  const { panel, trans } = context;
  app.commands.addCommand(IdentityCommandIDs.show, {
    label: trans.__('Show Identity'),
    caption: trans.__('Tell who you are at each site'),
    icon: identityIcon,
    execute: () => app.shell.activateById(panel.id)
  });
  siteCommands(context).forEach((command, rank) => {
    const clicked = () => context.model.find(clickedSite(app) ?? '');
    app.commands.addCommand(command.id, {
      // In the palette it asks for which one.
      label: args => (args.isMenu ? command.label : `${command.label}…`),
      caption: command.caption,
      isVisible: args => !args.isMenu || isFor(command, clicked()),
      execute: async args => {
        const site = await choose(context, command, args, clicked);
        if (site) {
          await command.run(site);
        }
      }
    });
    app.contextMenu.addItem({
      command: command.id,
      args: { isMenu: true },
      selector: `${ROW}[data-site]`,
      rank
    });
  });
}

function siteCommands(context: IIdentityContext): ISiteCommand[] {
  const { trans } = context;
  return [
    {
      id: IdentityCommandIDs.link,
      label: trans.__('Link an Account at a Site'),
      caption: trans.__('Open the page that links your login and the account'),
      suits: site => site.link_url !== null && site.state !== 'linked',
      run: site => goTo(context, site, site.link_url)
    },
    {
      id: IdentityCommandIDs.unlink,
      label: trans.__('Unlink an Account at a Site'),
      caption: trans.__('Open the page that takes the link away'),
      suits: site => site.unlink_url !== null && site.state === 'linked',
      run: site => unlink(context, site)
    },
    {
      id: IdentityCommandIDs.check,
      label: trans.__('Check an Account at a Site'),
      caption: trans.__('Ask the site anew'),
      suits: site => site.rule !== 'none',
      run: site => check(context, site)
    }
  ];
}

function isFor(
  command: ISiteCommand,
  site: ISiteIdentity | undefined
): boolean {
  return site !== undefined && command.suits(site);
}

function clickedSite(app: JupyterFrontEnd): string | undefined {
  return app.contextMenuHitTest(node => node.matches(ROW))?.dataset.site;
}

/** The site that a command is for: named, clicked on, or else chosen in a dialog. */
async function choose(
  { model, trans }: IIdentityContext,
  { caption, label, suits }: ISiteCommand,
  args: { site?: unknown; isMenu?: unknown },
  clicked: () => ISiteIdentity | undefined
): Promise<ISiteIdentity | undefined> {
  if (args.isMenu) {
    return clicked();
  }
  if (typeof args.site === 'string') {
    return model.find(args.site);
  }
  // A failure is shown below as an empty list, and in the panel as what it is.
  await model.refresh().catch(() => undefined);
  const suitable = model.sites.filter(suits);
  if (suitable.length === 0) {
    Notification.info(trans.__('There is no site to do this at.'));
    return undefined;
  }
  const items = suitable.map(site => `${site.title} (${site.site})`);
  const { value } = await InputDialog.getItem({
    title: label,
    label: caption,
    items
  });
  return value === null ? undefined : suitable[items.indexOf(value)];
}

/** Open a page of the site's account linking, and follow what the user does there. */
function goTo(
  { follow, model }: IIdentityContext,
  site: ISiteIdentity,
  page: string | null
): void {
  if (page) {
    window.open(page, '_blank', 'noopener');
    model.follow(site.site);
    follow();
  }
}

async function unlink(
  context: IIdentityContext,
  site: ISiteIdentity
): Promise<void> {
  const { trans } = context;
  const { button } = await showDialog({
    title: trans.__('Unlink your account at %1?', site.title),
    body: trans.__(
      'Its account linking opens in another tab; unlink there. What runs goes on, but you start ' +
        'nothing at %1 any more until an account is linked again.',
      site.title
    ),
    buttons: [
      Dialog.cancelButton(),
      Dialog.warnButton({ label: trans.__('Open the Page') })
    ],
    defaultButton: 0
  });
  if (button.accept) {
    goTo(context, site, site.unlink_url);
  }
}

async function check(
  { model, trans }: IIdentityContext,
  site: ISiteIdentity
): Promise<void> {
  await model
    .check(site.site)
    .catch((error: FarlabError) =>
      showErrorMessage(
        trans.__('The account at %1 was not checked', site.title),
        failureText(error, trans)
      )
    );
}
