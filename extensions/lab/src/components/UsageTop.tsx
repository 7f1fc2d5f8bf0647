import { HTMLSelect } from '@jupyterlab/ui-components';

import { spanName, whoseText } from '../usageText.js';
import type { SpanName } from '../usageSpans.js';
import type { IUsageViewProps } from './UsageView.js';

const SPANS: SpanName[] = ['month', 'last-month', 'days', 'year'];

/** What is chosen at the top: whose usage, where there is a choice, and the span. */
export function UsageTop({ model, trans }: IUsageViewProps): JSX.Element {
  return (
    <div className="jp-farlab-Usage-top">
      <h2>{trans.__('Usage')}</h2>
      {model.choices.length > 1 && (
        <HTMLSelect
          aria-label={trans.__('Whose usage')}
          value={String(
            model.choices.findIndex(
              choice =>
                whoseText(choice, trans) === whoseText(model.whose, trans)
            )
          )}
          onChange={event =>
            void model.showWhose(
              model.choices[Number(event.currentTarget.value)]!
            )
          }
          options={model.choices.map((choice, place) => ({
            value: String(place),
            label: whoseText(choice, trans)
          }))}
        />
      )}
      <HTMLSelect
        aria-label={trans.__('Span')}
        value={model.spanName}
        onChange={event =>
          void model.showSpan(event.currentTarget.value as SpanName)
        }
        options={SPANS.map(value => ({
          value,
          label: spanName(value, trans)
        }))}
      />
    </div>
  );
}
