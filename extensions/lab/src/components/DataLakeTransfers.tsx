import type { TranslationBundle } from '@jupyterlab/translation';
import { Button, UseSignal } from '@jupyterlab/ui-components';

import {
  problemText,
  sizeText,
  uploadTitle,
  transferActionText,
  transferText,
  uploadText
} from '../datalakeText.js';
import type { TransfersModel } from '../datalakeTransfers.js';
import type { ITransfer, IUpload } from '../datalakeTypes.js';
import { DataLakeProblem } from './DataLakeProblem.js';

export interface IDataLakeTransfersProps {
  model: TransfersModel;
  trans: TranslationBundle;
}

/** What is on its way: rules, copies between lakes, uploads. */
export function DataLakeTransfers(props: IDataLakeTransfersProps): JSX.Element {
  return (
    <UseSignal signal={props.model.changed}>
      {() => <Lists {...props} />}
    </UseSignal>
  );
}

function Lists(props: IDataLakeTransfersProps): JSX.Element {
  const { model, trans } = props;
  const { problem, transfers, uploads } = model;
  return (
    <div className="jp-farlab-LakeTransfers">
      {problem && <DataLakeProblem problem={problem} trans={trans} />}
      {!problem && transfers === null && (
        <p aria-busy="true">{trans.__('Loading…')}</p>
      )}
      {transfers?.length === 0 && uploads.length === 0 && (
        <p>{trans.__('Nothing is on its way.')}</p>
      )}
      <ul>
        {[...uploads].reverse().map(upload => (
          <Upload key={upload.id} {...props} upload={upload} />
        ))}
        {(transfers ?? []).map(transfer => (
          <Transfer key={transfer.id} {...props} transfer={transfer} />
        ))}
      </ul>
    </div>
  );
}

interface ITransferProps extends IDataLakeTransfersProps {
  transfer: ITransfer;
}

function Transfer({ model, transfer, trans }: ITransferProps): JSX.Element {
  const { destination, reason, source, state } = transfer;
  const title =
    transfer.title || trans._n('%1 file', '%1 files', transfer.files_total);
  return (
    <li data-state={state}>
      <strong>{title}</strong>
      <small>{`${source} → ${destination}`}</small>
      <span className="jp-farlab-State" data-state={dot(state)}>
        {transferText(state, trans)}
      </span>
      <Progress
        done={transfer.bytes_done ?? transfer.files_done}
        total={transfer.bytes_total ?? transfer.files_total}
        label={title}
      />
      <small>{progressText(transfer, trans)}</small>
      {reason && <p>{reason}</p>}
      {transfer.outlives_token && state !== 'expired' && (
        <p>{trans.__('It will probably outlive its token.')}</p>
      )}
      <div className="jp-farlab-LakeActions">
        {actionsOf(transfer).map(action => {
          const label = transferActionText(transfer, action, trans);
          return (
            <Button
              key={action}
              className="jp-mod-styled jp-farlab-Action"
              aria-label={trans.__('%1 (%2)', label, title)}
              onClick={() => void model.act(transfer.id, action)}
            >
              {label}
            </Button>
          );
        })}
      </div>
    </li>
  );
}

interface IUploadProps extends IDataLakeTransfersProps {
  upload: IUpload;
}

function Upload({ model, trans, upload }: IUploadProps): JSX.Element {
  const { error, id, progress, state } = upload;
  const words = error && problemText(error, trans);
  const target = upload.dataset || upload.folder || '/';
  const title = uploadTitle(upload, trans);
  return (
    <li data-state={state}>
      <strong>{title}</strong>
      <small>{`→ ${target} · ${upload.lake}`}</small>
      <span className="jp-farlab-State" data-state={dot(state)}>
        {uploadText(state, trans)}
      </span>
      <Progress
        done={progress.size_done ?? 0}
        total={progress.size ?? 0}
        label={title}
      />
      {words && (
        <p>
          {words.message} {words.fix}
        </p>
      )}
      <div className="jp-farlab-LakeActions">
        {(state === 'cut' || state === 'failed') && (
          <Button
            className="jp-mod-styled jp-farlab-Action"
            onClick={() => void model.resumeUpload(id)}
          >
            {trans.__('Go on')}
          </Button>
        )}
        <Button
          className="jp-mod-styled jp-farlab-Action"
          onClick={() => void model.cancelUpload(id)}
        >
          {state === 'done' ? trans.__('Remove') : trans.__('Cancel')}
        </Button>
      </div>
    </li>
  );
}

interface IProgressProps {
  done: number;
  total: number;
  label: string;
}

function Progress({ done, label, total }: IProgressProps): JSX.Element | null {
  return total > 0 ? (
    <progress value={done} max={total} aria-label={label} />
  ) : null;
}

/** What can be done here. To end a rule that is complete is no cancelling: it deletes data. */
function actionsOf({ actions, state, way }: ITransfer): ITransfer['actions'] {
  return way === 'rule' && state === 'done'
    ? actions.filter(action => action !== 'cancel')
    : actions;
}

/** How far it is, and how fast. */
function progressText(transfer: ITransfer, trans: TranslationBundle): string {
  const { bytes_done, bytes_total, files_done, files_total, rate } = transfer;
  const files = trans._n(
    '%2 of %1 file',
    '%2 of %1 files',
    files_total,
    files_done
  );
  const bytes =
    bytes_done !== null && bytes_total !== null
      ? trans.__('%1 of %2', sizeText(bytes_done), sizeText(bytes_total))
      : '';
  const speed = rate ? trans.__('%1 per second', sizeText(rate)) : '';
  return [files, bytes, speed].filter(Boolean).join(' · ');
}

/** The colour of a state, in the words of workloads. */
function dot(state: ITransfer['state'] | IUpload['state']): string {
  switch (state) {
    case 'done':
      return 'ready';
    case 'failed':
    case 'expired':
    case 'partly':
    case 'cut':
      return 'failed';
    default:
      return 'queued';
  }
}
