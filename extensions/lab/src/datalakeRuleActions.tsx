import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { DaysField, TextField } from './components/DataLakeFields.js';
import type { IRuleActions } from './components/DataLakeRules.js';
import type { IRuleWish } from './datalakeClient.js';
import { attempt, IDataLakeContext, tellSuccess } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import type { IRule } from './datalakeTypes.js';
import type { IForm } from './widgets/FormDialog.js';
import { askAndDo } from './widgets/FormDialog.js';

/** Days for which data is kept unless somebody says otherwise. */
const DAYS = 14;

/** Have entries brought to a storage element, for as long as the user says. */
export async function makeAvailable(
  context: IDataLakeContext,
  subjects: readonly ISubject[]
): Promise<void> {
  const { client, details, pane, trans } = context;
  const { entry, lake } = subjects[0]!;
  const name =
    subjects.length === 1
      ? entry.name
      : trans.__('%1 entries', subjects.length);
  const wish = await askAndDo<IRuleWish, IRuleWish>({
    title: trans.__('Make %1 available', name),
    okLabel: trans.__('Make Available'),
    value: {
      rse: lake.rse ?? '',
      days: DAYS,
      comment: ''
    },
    form: form => (
      <RuleFields {...form} known={knownRses(context)} trans={trans} />
    ),
    submit: async wish => {
      for (const one of subjects) {
        await client.makeAvailable(lake.name, one.entry.path, wish);
      }
      return wish;
    },
    trans
  });
  if (wish) {
    tellSuccess(trans.__('%1 is being brought to %2.', name, wish.rse));
    pane.show('details');
    await details.refresh();
  }
}

/** The storage elements that the panel has heard of: this one, and those of what is selected. */
function knownRses({ details, lakes }: IDataLakeContext): string[] {
  const { replicas, rules, shares, subject } = details;
  const told = [replicas, rules, shares].flatMap(asked =>
    asked?.name === 'told' ? asked.value.map(({ rse }) => rse) : []
  );
  const here = lakes.lakes
    .filter(({ name }) => name === subject?.lake.name)
    .flatMap(({ rse }) => rse ?? []);
  return [...new Set([...here, ...told])];
}

function RuleFields(
  props: IForm<IRuleWish> & { known: string[]; trans: TranslationBundle }
): JSX.Element {
  const { known, set, trans, value } = props;
  return (
    <>
      <TextField
        label={trans.__('Storage element (RSE), or an expression')}
        value={value.rse}
        suggestions={known}
        set={rse => set({ rse })}
      />
      <DaysField
        label={trans.__('Days to keep it')}
        days={value.days}
        set={days => set({ days })}
        trans={trans}
      />
      <TextField
        label={trans.__('Comment')}
        value={value.comment}
        set={comment => set({ comment })}
      />
    </>
  );
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
