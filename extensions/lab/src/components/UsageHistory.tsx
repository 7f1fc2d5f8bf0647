import { Button } from '@jupyterlab/ui-components';

import { showMessages } from '../usageDialog.js';
import { endText, figureText, momentOf, recordSpan } from '../usageText.js';
import type { IUsageRecord } from '../usageTypes.js';
import { Failure } from './Failure.js';
import type { IUsageViewProps } from './UsageView.js';

/** What ended in the span, the newest first, and the same as a file. */
export function UsageHistory(props: IUsageViewProps): JSX.Element {
  const { model, trans } = props;
  const { error, hasMore, isLoading, records } = model.history;
  return (
    <section aria-label={trans.__('History')}>
      <h3>
        {trans.__('History')}
        <span className="jp-farlab-Usage-buttons">
          {(['csv', 'parquet'] as const).map(format => (
            <a
              key={format}
              className="jp-farlab-Action jp-farlab-Usage-file"
              href={model.exportUrl(format)}
              download
              aria-label={trans.__('Save as %1', format)}
            >
              {format === 'csv' ? 'CSV' : 'Parquet'}
            </a>
          ))}
        </span>
      </h3>
      {records.length > 0 && <Records {...props} records={records} />}
      {records.length === 0 && !isLoading && !error && (
        <p className="jp-farlab-Faint">
          {trans.__('Nothing ended in this span.')}
        </p>
      )}
      {error && (
        <Failure {...props} refresh={() => model.readMore()} error={error} />
      )}
      {isLoading && <p aria-busy="true">{trans.__('Reading…')}</p>}
      {hasMore && !isLoading && (
        <Button
          className="jp-mod-styled jp-farlab-Action"
          onClick={() => void model.readMore()}
        >
          {trans.__('More')}
        </Button>
      )}
    </section>
  );
}

interface IRecordsProps extends IUsageViewProps {
  records: IUsageRecord[];
}

function Records({ model, records, trans }: IRecordsProps): JSX.Element {
  const isMine = model.whose.name === 'mine';
  const columns = [
    trans.__('Ended'),
    ...(isMine ? [] : [trans.__('User')]),
    trans.__('Site'),
    trans.__('Job'),
    trans.__('Ran'),
    trans.__('Cores'),
    trans.__('GPUs'),
    trans.__('End'),
    ...(isMine ? [trans.__('Published')] : [])
  ];
  return (
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
        {records.map(record => (
          <tr key={record.uid}>
            <th scope="row">
              {record.ended !== null && momentOf(record.ended)}
            </th>
            {!isMine && <td>{record.owner}</td>}
            <td>
              {record.site} <small>{record.profile}</small>
            </td>
            <td>{record.job_id}</td>
            <td>{recordSpan(record, trans)}</td>
            <td>{figureText(record.cores)}</td>
            <td>
              {record.gpus > 0 && figureText(record.gpus)}{' '}
              <small>{record.gpu_type}</small>
            </td>
            <td>{endText(record, trans)}</td>
            {isMine && (
              <td>
                <Button
                  className="jp-mod-styled jp-farlab-Action"
                  aria-label={trans.__(
                    'Show what is published of job %1',
                    record.job_id
                  )}
                  onClick={() => void showMessages(model, record, trans)}
                >
                  {trans.__('Record')}
                </Button>
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
