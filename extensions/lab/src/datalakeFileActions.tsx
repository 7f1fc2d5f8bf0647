import { Clipboard, Dialog, showDialog } from '@jupyterlab/apputils';

import { SelectField } from './components/DataLakeFields.js';
import { openCode } from './datalakeCode.js';
import { attempt, IDataLakeContext, tellSuccess } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import { hasNotebooks, insertCell } from './datalakeNotebook.js';
import { makeAvailable } from './datalakeRuleActions.js';
import { can } from './datalakeTypes.js';
import { askAndDo } from './widgets/FormDialog.js';

/** Hours of a day: for so long a shared link works, unless the user says otherwise. */
const DAY = 24;

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
    await makeAvailable(context, [subject]);
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

/** Make a link that works without an account, for as long as the user says, and copy it. */
export async function shareLink(
  context: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const { client, trans } = context;
  const link = await askAndDo({
    title: trans.__('Share %1', entry.name),
    okLabel: trans.__('Copy Link'),
    value: { hours: String(DAY) },
    form: ({ set, value }) => (
      <>
        <p>
          {trans.__(
            'Whoever has the link can read the file until the link ends; it can not be taken back.'
          )}
        </p>
        <SelectField
          label={trans.__('The link works for')}
          value={value.hours}
          options={[
            ['1', trans.__('1 hour')],
            [String(DAY), trans.__('1 day')],
            [String(7 * DAY), trans.__('7 days')]
          ]}
          set={hours => set({ hours })}
        />
      </>
    ),
    submit: ({ hours }) =>
      client.link(lake.name, entry.path, Number(hours) * 3600),
    trans
  });
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
