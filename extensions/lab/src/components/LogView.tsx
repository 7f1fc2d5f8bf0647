import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import { useLayoutEffect, useRef } from 'react';

import type { LogModel } from '../logModel.js';
import { reasonText, stateText } from '../workloadText.js';
import { Failure } from './Failure.js';

export interface ILogViewProps {
  model: LogModel;
  /** Reads it anew; never rejects. */
  refresh: () => Promise<void>;
  trans: TranslationBundle;
}

/** A log, and above it what state its workload is in. */
export function LogView(props: ILogViewProps): JSX.Element {
  return (
    <UseSignal signal={props.model.changed}>
      {() => (
        <>
          <Status {...props} />
          <Lines {...props} />
        </>
      )}
    </UseSignal>
  );
}

function Status(props: ILogViewProps): JSX.Element {
  const { model, trans } = props;
  const { error, workload } = model;
  return (
    <div className="jp-farlab-Log-status">
      <span role="status">
        {workload === null && !error && trans.__('Asking for the log…')}
        {workload &&
          [stateText(workload, trans), reasonText(workload)]
            .filter(Boolean)
            .join(' · ')}
      </span>
      {error && <Failure {...props} error={error} />}
    </div>
  );
}

/** The text; it stays at its end unless the reader scrolled away from there. */
function Lines({ model, trans }: ILogViewProps): JSX.Element {
  const lines = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (lines.current && atEnd.current) {
      lines.current.scrollTop = lines.current.scrollHeight;
    }
  }, [model.text]);
  return (
    <pre
      ref={lines}
      className="jp-farlab-Log-lines"
      role="log"
      aria-label={trans.__('Log')}
      aria-live="off"
      tabIndex={0}
      onScroll={({
        currentTarget: { clientHeight, scrollHeight, scrollTop }
      }) => {
        atEnd.current = scrollHeight - scrollTop - clientHeight < 20;
      }}
    >
      {model.text ||
        (model.text === '' && trans.__('The job has written nothing yet.'))}
    </pre>
  );
}
