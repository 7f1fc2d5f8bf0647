import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';

import type { UsageModel } from '../usageModel.js';
import { Failure } from './Failure.js';
import { UsageBudgets } from './UsageBudgets.js';
import { UsageChart } from './UsageChart.js';
import { UsageHealth } from './UsageHealth.js';
import { UsageHistory } from './UsageHistory.js';
import { UsageNow } from './UsageNow.js';
import { UsageOverview } from './UsageOverview.js';
import { UsageTotals } from './UsageTotals.js';
import { UsageTop } from './UsageTop.js';

export interface IUsageViewProps {
  model: UsageModel;
  /** Asks again; never rejects. */
  refresh: () => Promise<void>;
  trans: TranslationBundle;
}

/** The whole screen, in whichever state it is. */
export function UsageView(props: IUsageViewProps): JSX.Element {
  return (
    <UseSignal signal={props.model.changed}>
      {() => (
        <>
          <UsageTop {...props} />
          <StateView {...props} />
        </>
      )}
    </UseSignal>
  );
}

function StateView(props: IUsageViewProps): JSX.Element {
  const { model, trans } = props;
  const { state } = model;
  switch (state.name) {
    case 'loading':
      return (
        <p className="jp-farlab-Note" aria-busy="true">
          {trans.__('Adding up…')}
        </p>
      );
    case 'failed':
      return <Failure {...props} error={state.error} />;
    case 'shown':
      return (
        <>
          {state.error && (
            <Failure
              {...props}
              error={state.error}
              before={trans.__('These figures are old.')}
            />
          )}
          <UsageTotals totals={state.shown.usage.totals} trans={trans} />
          <UsageChart {...props} shown={state.shown} />
          {model.whose.name === 'mine' && (
            <>
              <UsageBudgets budgets={state.shown.budgets} trans={trans} />
              <UsageNow running={state.shown.running} trans={trans} />
            </>
          )}
          {state.shown.overview && (
            <UsageOverview overview={state.shown.overview} trans={trans} />
          )}
          {state.shown.health && (
            <UsageHealth health={state.shown.health} trans={trans} />
          )}
          <UsageHistory {...props} />
          <p className="jp-farlab-Faint">
            {trans.__(
              'Usage counts from the start of the job at its site, in hours of what was allocated. ' +
                'Days and months are UTC: %1 to %2.',
              state.shown.span.since,
              state.shown.span.until
            )}
          </p>
        </>
      );
  }
}
