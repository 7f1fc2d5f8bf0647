import type { TranslationBundle } from '@jupyterlab/translation';

import { efficiencyText, energyName, figureText } from '../usageText.js';
import type { IUsageSums } from '../usageTypes.js';

export interface IUsageTotalsProps {
  totals: IUsageSums;
  trans: TranslationBundle;
}

/** The sums of the span. */
export function UsageTotals({ totals, trans }: IUsageTotalsProps): JSX.Element {
  const figures = [
    [trans.__('Core hours'), figureText(totals.core_hours)],
    [trans.__('GPU hours'), figureText(totals.gpu_hours)],
    [trans.__('Memory, GiB hours'), figureText(totals.memory_gib_hours)],
    [trans.__('Hours waited'), figureText(totals.wait_hours)],
    [trans.__('Workloads'), figureText(totals.workloads)],
    [trans.__('CPU time used'), efficiencyText(totals)]
  ];
  if (totals.idle_gpu_hours > 0) {
    figures.push([
      trans.__('GPU hours idle'),
      figureText(totals.idle_gpu_hours)
    ]);
  }
  if (totals.energy_kwh !== null) {
    figures.push([
      energyName(totals, trans),
      trans.__('%1 kWh', figureText(totals.energy_kwh))
    ]);
  }
  if (totals.co2e_g !== null) {
    figures.push([
      trans.__('CO₂ equivalent'),
      trans.__('%1 kg', figureText(totals.co2e_g / 1000))
    ]);
  }
  return (
    <dl className="jp-farlab-Usage-totals">
      {figures.map(([name, figure]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{figure}</dd>
        </div>
      ))}
    </dl>
  );
}
