import { Clipboard, Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { UsageMessages } from './components/UsageMessages.js';
import type { FarlabError } from './tokens.js';
import type { UsageModel } from './usageModel.js';
import type { IUsageRecord } from './usageTypes.js';

const COPY = 'copy';

/** Show what is published of a workload. Never rejects: the dialog tells of failures. */
export async function showMessages(
  model: UsageModel,
  record: IUsageRecord,
  trans: TranslationBundle
): Promise<void> {
  const title = trans.__('What is published of job %1', record.job_id);
  const close = Dialog.okButton({ label: trans.__('Close') });
  const asked = await model
    .messages(record.uid)
    .catch((reason: FarlabError) => reason);
  if (!Array.isArray(asked)) {
    const body = asked.message;
    await showDialog({ title, body, buttons: [close] });
    return;
  }
  const text = asked.map(message => message.text).join('');
  const copy = Dialog.createButton({
    label: trans.__('Copy'),
    actions: [COPY]
  });
  const { button } = await showDialog({
    title,
    body: <UsageMessages messages={asked} trans={trans} />,
    buttons: text ? [copy, close] : [close]
  });
  if (button.actions.includes(COPY)) {
    Clipboard.copyToSystem(text);
  }
}
