import type { TranslationBundle } from '@jupyterlab/translation';

import { figureText, momentOf } from '../usageText.js';
import type { IHealth } from '../usageTypes.js';
import { UsageTable } from './UsageTable.js';

export interface IUsageHealthProps {
  health: IHealth;
  trans: TranslationBundle;
}

/** How complete the ledger is, and what of it was published. */
export function UsageHealth({ health, trans }: IUsageHealthProps): JSX.Element {
  const site = trans.__('Site');
  const workload = trans.__('Workload');
  const problem = trans.__('Problem');
  const isWell =
    health.gaps.length + health.duplicates.length + health.rejects.length === 0;
  return (
    <>
      <UsageTable
        title={trans.__('Ledger')}
        columns={[site, trans.__('Last seen'), trans.__('Live workloads')]}
        rows={health.sites.map(one => [
          one.site,
          momentOf(one.heartbeat),
          figureText(one.live)
        ])}
      />
      {isWell && (
        <p className="jp-farlab-Faint">
          {trans.__('No gaps, no duplicates, nothing rejected.')}
        </p>
      )}
      <UsageTable
        title={trans.__('Gaps')}
        columns={[workload, trans.__('User'), site, problem]}
        rows={health.gaps.map(one => [
          one.uid,
          one.owner,
          one.site,
          one.problem
        ])}
      />
      <UsageTable
        title={trans.__('Duplicates')}
        columns={[trans.__('Job'), site, trans.__('Workloads')]}
        rows={health.duplicates.map(one => [
          one.job_id,
          one.site,
          one.uids.join(', ')
        ])}
      />
      <UsageTable
        title={trans.__('Rejected')}
        columns={[workload, site, trans.__('When'), problem]}
        rows={health.rejects.map(one => [
          one.uid,
          one.site,
          momentOf(one.time),
          one.problem
        ])}
      />
      <Publication health={health} trans={trans} />
    </>
  );
}

function Publication({ health, trans }: IUsageHealthProps): JSX.Element {
  return (
    <UsageTable
      title={trans.__('Published')}
      columns={[
        trans.__('Target'),
        trans.__('Month'),
        trans.__('Records'),
        trans.__('Messages'),
        trans.__('Waiting'),
        trans.__('Last sent'),
        trans.__('Rejected'),
        trans.__('Failure')
      ]}
      rows={health.publication.map(one => [
        one.target,
        one.month,
        figureText(one.records),
        figureText(one.messages),
        figureText(one.waiting),
        one.last_sent === null ? trans.__('never') : momentOf(one.last_sent),
        figureText(one.rejected),
        one.failure
      ])}
    />
  );
}
