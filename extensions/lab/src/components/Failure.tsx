import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';

import { failureText } from '../text.js';
import type { FarlabError } from '../tokens.js';

export interface IFailureProps {
  error: FarlabError;
  /** What is to be known before the error's own words. */
  before?: string;
  /** Asks again; never rejects. */
  refresh: () => Promise<void>;
  trans: TranslationBundle;
}

/** What went wrong and what to do, with a button that tries again. */
export function Failure(props: IFailureProps): JSX.Element {
  const { before, error, refresh, trans } = props;
  return (
    <div className="jp-farlab-Note jp-mod-error">
      <p role="alert">
        {[before, failureText(error, trans)].filter(Boolean).join(' ')}
      </p>
      <Button
        className="jp-mod-styled jp-mod-accept"
        onClick={() => void refresh()}
      >
        {trans.__('Try again')}
      </Button>
    </div>
  );
}
