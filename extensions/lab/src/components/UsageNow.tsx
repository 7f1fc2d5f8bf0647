import type { TranslationBundle } from '@jupyterlab/translation';

import { spanText } from '../text.js';
import { figureText } from '../usageText.js';
import type { IRunning } from '../usageTypes.js';

export interface IUsageNowProps {
  running: IRunning[];
  trans: TranslationBundle;
}

/** What lives now, and what it has used so far. */
export function UsageNow({ running, trans }: IUsageNowProps): JSX.Element {
  const columns = [
    trans.__('Workload'),
    trans.__('Site'),
    trans.__('Runs since'),
    trans.__('Cores'),
    trans.__('GPUs'),
    trans.__('Core hours'),
    trans.__('GPU hours'),
    trans.__('Time left')
  ];
  return (
    <section aria-label={trans.__('Now')}>
      <h3>{trans.__('Now')}</h3>
      {running.length === 0 ? (
        <p className="jp-farlab-Faint">{trans.__('Nothing of yours runs.')}</p>
      ) : (
        <table className="jp-farlab-Usage-table">
          <thead>
            <tr>
              {columns.map(column => (
                <th key={column} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {running.map(one => (
              <tr key={one.uid}>
                <th scope="row">{one.name || one.kind}</th>
                <td>
                  {one.site} <small>{one.profile}</small>
                </td>
                <td>
                  {one.started === null
                    ? trans.__(
                        'waits for %1',
                        spanText(Math.round(one.wait_s), trans)
                      )
                    : spanText(Math.round(one.elapsed_s), trans)}
                </td>
                <td>{figureText(one.cores)}</td>
                <td>{figureText(one.gpus)}</td>
                <td>{figureText(one.core_hours)}</td>
                <td>{figureText(one.gpu_hours)}</td>
                <td>
                  {one.left_s !== null &&
                    spanText(Math.max(0, Math.round(one.left_s)), trans)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
