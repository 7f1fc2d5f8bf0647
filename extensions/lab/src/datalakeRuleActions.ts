import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';

import type { IRuleActions } from './components/DataLakeRules.js';
import { attempt, IDataLakeContext, tellSuccess } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import type { IRule } from './datalakeTypes.js';

/** Days for which data is kept unless somebody says otherwise. */
const DAYS = 14;

/** Have an entry brought to this server's site, for as many days as the user says. */
export async function makeAvailable(
  { client, details, pane, trans }: IDataLakeContext,
  { entry, lake }: ISubject
): Promise<void> {
  const days = await askDays(
    trans.__('Make %1 available at %2', entry.name, lake.rse ?? ''),
    trans.__('Days to keep it'),
    trans.__('Make Available')
  );
  if (days === null) {
    return;
  }
  const work = client.makeAvailable(lake.name, entry.path, days);
  if (await attempt(trans, work)) {
    tellSuccess(
      trans.__('%1 is being brought to %2.', entry.name, lake.rse ?? '')
    );
    pane.show('details');
    await details.refresh();
  }
}

/** What the buttons of a rule do. */
export function ruleActions(context: IDataLakeContext): IRuleActions {
  const { client, details, trans } = context;
  const change = async (work: Promise<unknown>) => {
    await attempt(trans, work);
    await details.refresh();
  };
  const lake = () => details.subject?.lake.name ?? '';
  return {
    retry: rule =>
      void change(client.changeRule(lake(), rule.id, { retry: true })),
    extend: rule =>
      void askDays(
        trans.__('Keep %1 at %2', rule.did, rule.rse),
        trans.__('Days from now'),
        trans.__('Keep')
      ).then(days =>
        days === null
          ? undefined
          : change(client.changeRule(lake(), rule.id, { days }))
      ),
    remove: rule =>
      void confirmRemoval(context, rule).then(sure =>
        sure ? change(client.removeRule(lake(), rule.id)) : undefined
      )
  };
}

async function askDays(
  title: string,
  label: string,
  okLabel: string
): Promise<number | null> {
  const { value } = await InputDialog.getNumber({
    title,
    label,
    okLabel,
    value: DAYS
  });
  return value === null || Number.isNaN(value) ? null : Math.round(value);
}

async function confirmRemoval(
  { trans }: IDataLakeContext,
  rule: IRule
): Promise<boolean> {
  const { button } = await showDialog({
    title: trans.__('End the rule at %1?', rule.rse),
    body: trans.__(
      'The copy of %1 there is deleted in time, unless another rule keeps it.',
      rule.did
    ),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Keep It') }),
      Dialog.warnButton({ label: trans.__('End Rule') })
    ],
    defaultButton: 0
  });
  return button.accept;
}
