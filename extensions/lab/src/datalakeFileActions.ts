import {
  Clipboard,
  Dialog,
  InputDialog,
  showDialog
} from '@jupyterlab/apputils';

import { openCode } from './datalakeCode.js';
import { attempt, IDataLakeContext, tellSuccess } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import { hasNotebooks, insertCell } from './datalakeNotebook.js';
import { makeAvailable } from './datalakeRuleActions.js';
import { scopeOf } from './datalakeSearch.js';
import { can } from './datalakeTypes.js';

/** Seconds for which a shared link works. */
const LINK = 24 * 3600;

/** Put the cell that opens a file into the notebook; offer to bring the file here if it is not. */
export async function openInNotebook(
  context: IDataLakeContext,
  subject: ISubject
): Promise<void> {
  const { app, client, trans } = context;
  const { entry, lake } = subject;
  const details = await attempt(trans, client.details(lake.name, entry.path));
  if (!details) {
    return;
  }
  if (details.here === null) {
    await offerToBring(context, subject);
    return;
  }
  const code = openCode(details.here, entry.name);
  if (hasNotebooks(app)) {
    await attempt(trans, insertCell(app, code));
  } else {
    copy(context, code, trans.__('the code that opens %1', entry.name));
  }
}

async function offerToBring(
  context: IDataLakeContext,
  subject: ISubject
): Promise<void> {
  const { trans } = context;
  const { entry, lake } = subject;
  const mayBring = can(lake, 'rules') && lake.rse !== null;
  const { button } = await showDialog({
    title: trans.__('%1 is not on this machine', entry.name),
    body: mayBring
      ? trans.__('It can be opened once it is available at %1.', lake.rse)
      : trans.__('Download it, or open it from where it is.'),
    buttons: mayBring
      ? [
          Dialog.cancelButton(),
          Dialog.okButton({ label: trans.__('Make Available…') })
        ]
      : [Dialog.okButton()]
  });
  if (mayBring && button.accept) {
    await makeAvailable(context, subject);
  }
}

/** Copy a text, and say which. */
export function copy(
  { trans }: IDataLakeContext,
  text: string,
  what: string
): void {
  Clipboard.copyToSystem(text);
  tellSuccess(trans.__('Copied %1.', what));
}

/** Copy a link that works without an account, for a day. */
export async function shareLink(
  context: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const { client, trans } = context;
  const work = client.link(lake.name, entry.path, LINK);
  const link = await attempt(trans, work);
  if (link) {
    const end = new Date(link.ends * 1000).toLocaleString();
    copy(context, link.url, trans.__('a link that works until %1', end));
  }
}

/** Let the browser download a file. */
export function download(
  { client }: IDataLakeContext,
  { entry, lake }: ISubject
): void {
  const anchor = document.createElement('a');
  anchor.href = client.contentUrl(lake.name, entry.path);
  anchor.download = '';
  anchor.click();
}

/** Make an empty dataset in the scope of an entry. */
export async function createDataset(
  context: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const { client, trans, tree } = context;
  const scope = scopeOf(entry.path);
  const { value } = await InputDialog.getText({
    title: trans.__('New dataset in %1', scope),
    label: trans.__('Name'),
    okLabel: trans.__('Create')
  });
  if (!value) {
    return;
  }
  const work = client.create(lake.name, `${scope}:${value}`, 'dataset');
  if (await attempt(trans, work)) {
    tellSuccess(trans.__('Created %1.', `${scope}:${value}`));
    const node = tree.rows.find(row => row.node?.entry?.path === scope)?.node;
    if (node) {
      tree.reload(node);
    }
  }
}
