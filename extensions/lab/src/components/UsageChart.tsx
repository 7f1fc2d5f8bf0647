import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import { useEffect, useRef } from 'react';

import { stacksOf } from '../usageChart.js';
import { StackedBars } from '../usageBars.js';
import type { IUsageShown, UsageModel } from '../usageModel.js';
import { stepOf, stepsOf } from '../usageSpans.js';
import { figureText, quantityText, stepText } from '../usageText.js';
import type { Quantity } from '../usageTypes.js';

const QUANTITIES: Quantity[] = ['core_hours', 'gpu_hours', 'memory_gib_hours'];

export interface IUsageChartProps {
  model: UsageModel;
  shown: IUsageShown;
  trans: TranslationBundle;
}

/** Usage by day or month, stacked by site or profile; and the same sums in words. */
export function UsageChart({
  model,
  shown,
  trans
}: IUsageChartProps): JSX.Element {
  const { span, usage } = shown;
  const steps = stepsOf(span);
  const stacks = stacksOf(
    usage.rows,
    steps,
    stepOf(span),
    model.colour,
    model.quantity,
    trans.__('Others')
  );
  const title = quantityText(model.quantity, trans);
  const canvas = useRef<HTMLCanvasElement>(null);
  const bars = useRef<StackedBars | null>(null);
  useEffect(() => {
    bars.current = new StackedBars(canvas.current!);
    return () => bars.current?.dispose();
  }, []);
  useEffect(() => void bars.current?.show(title, steps.map(stepText), stacks));
  return (
    <section aria-label={title}>
      <div className="jp-farlab-Usage-top">
        <HTMLSelect
          aria-label={trans.__('Quantity')}
          value={model.quantity}
          onChange={event =>
            model.showQuantity(event.currentTarget.value as Quantity)
          }
          options={QUANTITIES.map(value => ({
            value,
            label: quantityText(value, trans)
          }))}
        />
        <HTMLSelect
          aria-label={trans.__('Colours')}
          value={model.colour}
          onChange={event =>
            model.showColour(event.currentTarget.value as 'site' | 'profile')
          }
          options={[
            { value: 'site', label: trans.__('by site') },
            { value: 'profile', label: trans.__('by profile') }
          ]}
        />
      </div>
      <div className="jp-farlab-Usage-chart">
        <canvas ref={canvas} role="img" aria-label={title} />
      </div>
      <p className="jp-farlab-Unseen">
        {stacks
          .map(({ name, total }) => trans.__('%1: %2', name, figureText(total)))
          .join(', ')}
      </p>
    </section>
  );
}
