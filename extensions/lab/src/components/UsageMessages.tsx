import type { TranslationBundle } from '@jupyterlab/translation';

import type { IUsageMessage } from '../usageTypes.js';

export interface IUsageMessagesProps {
  messages: IUsageMessage[];
  trans: TranslationBundle;
}

/** What the receivers of records get of one workload. */
export function UsageMessages({
  messages,
  trans
}: IUsageMessagesProps): JSX.Element {
  return (
    <div className="jp-farlab-UsageMessages">
      {messages.length === 0 && (
        <p>{trans.__('Nothing of it is published: no receiver takes it.')}</p>
      )}
      {messages.map((message, place) => (
        <section key={place}>
          <h3>
            {message.target} <small>{message.month}</small>
          </h3>
          {message.records === 'summaries' && (
            <p className="jp-farlab-Faint">
              {trans.__('Added to what else you ran in that month.')}
            </p>
          )}
          {message.problem ? (
            <p>{trans.__('Not sent: %1', message.problem)}</p>
          ) : (
            <pre tabIndex={0}>{message.text}</pre>
          )}
        </section>
      ))}
    </div>
  );
}
