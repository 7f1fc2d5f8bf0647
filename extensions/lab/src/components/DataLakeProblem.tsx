import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';

import { problemText } from '../datalakeText.js';
import type { IProblem } from '../datalakeTypes.js';

export interface IDataLakeProblemProps {
  problem: IProblem;
  /** What the button does; without it there is none. */
  retry?: () => void;
  /** What the button says, if not that it tries again. */
  retryLabel?: string;
  trans: TranslationBundle;
}

/** What went wrong, what to do, and the code to tell others. */
export function DataLakeProblem(props: IDataLakeProblemProps): JSX.Element {
  const { problem, retry, retryLabel, trans } = props;
  const { message, fix } = problemText(problem, trans);
  return (
    <div className="jp-farlab-LakeProblem" data-code={problem.code}>
      <p role="alert" title={`${message} ${fix}`}>
        {message} {fix} <small>({problem.code})</small>
      </p>
      {retry && (
        <Button
          className="jp-mod-styled jp-farlab-Action"
          onClick={event => {
            event.stopPropagation();
            retry();
          }}
        >
          {retryLabel ?? trans.__('Try again')}
        </Button>
      )}
    </div>
  );
}
