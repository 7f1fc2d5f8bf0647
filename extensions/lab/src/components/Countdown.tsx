import { UseSignal } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';

import { formatSpan } from '../countdown.js';
import type { ServerModel } from '../model.js';
import { momentText, spanText, warningText } from '../text.js';

export interface ICountdownProps {
  model: ServerModel;
  trans: TranslationBundle;
}

/** The time left, second by second. */
export function Countdown(props: ICountdownProps): JSX.Element {
  return (
    <UseSignal signal={props.model.ticked}>
      {() => <TimeLeft {...props} />}
    </UseSignal>
  );
}

function TimeLeft({ model, trans }: ICountdownProps): JSX.Element | null {
  const { left, end, warning } = model;
  if (left === null || end === null) {
    return null;
  }
  const over = left === 0;
  return (
    <div className={`jp-farlab-Countdown${warning ? ' jp-mod-soon' : ''}`}>
      <span className="jp-farlab-Countdown-label">{trans.__('Time left')}</span>
      {/* A timer is read out when it is asked for, not each second. */}
      <span
        className="jp-farlab-Countdown-time"
        role="timer"
        aria-label={trans.__('%1 left', spanText(left, trans))}
      >
        {formatSpan(left)}
      </span>
      <span className="jp-farlab-Countdown-label">
        {trans.__('Ends at %1', momentText(end, new Date()))}
      </span>
      {/* Always there, since a live region is only heard when its text changes. */}
      <p className="jp-farlab-Countdown-warning" aria-live="polite">
        {over && trans.__('The time is over: the site ends this server now.')}
        {!over && warning && warningText(warning.left, warning.end, trans)}
      </p>
    </div>
  );
}
