import { UseSignal } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';

import { formatSpan } from '../countdown.js';
import type { ServerModel } from '../model.js';
import { momentText, spanText } from '../text.js';

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
  const { left, end } = model;
  if (left === null || end === null) {
    return null;
  }
  const soon = model.warning !== null;
  const words =
    left > 0
      ? trans.__('%1 left', spanText(left, trans))
      : trans.__('No time left');
  return (
    <div className={`jp-farlab-Countdown${soon ? ' jp-mod-soon' : ''}`}>
      <span className="jp-farlab-Countdown-label">{trans.__('Time left')}</span>
      {/* A timer is read when it is asked for, not each second. */}
      <span
        className="jp-farlab-Countdown-time"
        role="timer"
        aria-label={words}
      >
        {formatSpan(left)}
      </span>
      <span className="jp-farlab-Countdown-label">
        {left > 0
          ? trans.__('Ends at %1', momentText(end, new Date()))
          : trans.__('The time is over: the site ends this server now.')}
      </span>
    </div>
  );
}
