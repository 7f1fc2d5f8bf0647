import type { TranslationBundle } from '@jupyterlab/translation';

import {
  efficiencyText,
  figureText,
  secondsText,
  shareText
} from '../usageText.js';
import type { IOverview, IUsageRow } from '../usageTypes.js';
import { UsageTable } from './UsageTable.js';

export interface IUsageOverviewProps {
  overview: IOverview;
  trans: TranslationBundle;
}

/** Users, groups, sites and images; and how workloads started. */
export function UsageOverview({
  overview,
  trans
}: IUsageOverviewProps): JSX.Element {
  const { day, month, week } = overview.active_users;
  const columns = [
    trans.__('Core hours'),
    trans.__('GPU hours'),
    trans.__('GPU hours idle'),
    trans.__('CPU time used'),
    trans.__('Hours waited'),
    trans.__('Workloads'),
    trans.__('Failed')
  ];
  const sums = (
    title: string,
    rows: IUsageRow[],
    key: 'user' | 'group' | 'site'
  ) => (
    <UsageTable
      title={title}
      columns={[title, ...columns]}
      rows={rows.map(row => [row[key] || trans.__('none'), ...cells(row)])}
    />
  );
  return (
    <>
      <p>
        {trans.__(
          'Active users: %1 today, %2 in a week, %3 in a month.',
          day,
          week,
          month
        )}
      </p>
      {sums(trans.__('Users'), overview.users, 'user')}
      {sums(trans.__('Groups'), overview.groups, 'group')}
      {sums(trans.__('Sites'), overview.sites, 'site')}
      <UsageTable
        title={trans.__('Images')}
        columns={[
          trans.__('Image'),
          trans.__('Core hours'),
          trans.__('GPU hours'),
          trans.__('Workloads')
        ]}
        rows={overview.images.map(one => [
          one.image,
          figureText(one.core_hours),
          figureText(one.gpu_hours),
          figureText(one.workloads)
        ])}
      />
      <UsageTable
        title={trans.__('Starts')}
        columns={[
          trans.__('Site'),
          trans.__('Asked for'),
          trans.__('Started'),
          trans.__('Failed'),
          trans.__('Success'),
          trans.__('Time to first cell (median)'),
          trans.__('9 of 10 within'),
          trans.__('Wait (median)'),
          trans.__('9 of 10 within')
        ]}
        rows={overview.starts.map(one => [
          one.site,
          figureText(one.asked),
          figureText(one.started),
          figureText(one.failed),
          shareText(one.success),
          secondsText(one.first_cell_p50, trans),
          secondsText(one.first_cell_p90, trans),
          secondsText(one.wait_p50, trans),
          secondsText(one.wait_p90, trans)
        ])}
      />
    </>
  );
}

function cells(row: IUsageRow): string[] {
  return [
    figureText(row.core_hours),
    figureText(row.gpu_hours),
    figureText(row.idle_gpu_hours),
    efficiencyText(row),
    figureText(row.wait_hours),
    figureText(row.workloads),
    figureText(row.failed)
  ];
}
