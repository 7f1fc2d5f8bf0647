import type { TranslationBundle } from '@jupyterlab/translation';
import { Button, UseSignal } from '@jupyterlab/ui-components';

import { formatSpan } from '../countdown.js';
import { spanText } from '../text.js';
import type { IWorkload } from '../tokens.js';
import {
  nameText,
  queuePlace,
  reasonText,
  stateText,
  workloadKindText
} from '../workloadText.js';
import { mayAttach, mayCancel, WorkloadsModel } from '../workloadsModel.js';

/** What the buttons of a row do; none of them rejects. */
export interface IWorkloadActions {
  showLog: (uid: string) => void;
  attach: (uid: string) => void;
  cancel: (uid: string) => void;
}

export interface IWorkloadsTableProps {
  model: WorkloadsModel;
  actions: IWorkloadActions;
  trans: TranslationBundle;
}

/** The workloads, one a row. */
export function WorkloadsTable(props: IWorkloadsTableProps): JSX.Element {
  const { model, trans } = props;
  const columns = [
    trans.__('Name'),
    trans.__('Site'),
    trans.__('State'),
    trans.__('Node'),
    trans.__('Time left'),
    trans.__('Actions')
  ];
  // Roles are spelled out: where the panel is narrow, its layout is no table's any more.
  return (
    <table
      className="jp-farlab-Workloads"
      role="table"
      aria-label={trans.__('Workloads')}
    >
      <thead role="rowgroup">
        <tr role="row">
          {columns.map(column => (
            <th key={column} role="columnheader" scope="col">
              {column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {model.workloads.map(workload => (
          <Row key={workload.uid} workload={workload} {...props} />
        ))}
      </tbody>
    </table>
  );
}

interface IRowProps extends IWorkloadsTableProps {
  workload: IWorkload;
}

function Row(props: IRowProps): JSX.Element {
  const { actions, trans, workload } = props;
  const name = nameText(workload, trans);
  const kind = workloadKindText(workload, trans);
  return (
    <tr
      className="jp-farlab-Workload"
      role="row"
      tabIndex={0}
      data-uid={workload.uid}
      data-may-cancel={mayCancel(workload) || undefined}
      data-may-attach={mayAttach(workload) || undefined}
      onKeyDown={event => {
        if (event.key === 'Enter' && event.target === event.currentTarget) {
          actions.showLog(workload.uid);
        }
      }}
    >
      <th className="jp-farlab-Workload-name" role="rowheader" scope="row">
        {name} {kind !== name && <small>{kind}</small>}
      </th>
      <td className="jp-farlab-Workload-site" role="cell">
        {workload.site} <small>{workload.profile}</small>
      </td>
      <StateCell {...props} />
      <td className="jp-farlab-Workload-node" role="cell">
        {workload.node}
      </td>
      <td className="jp-farlab-Workload-left" role="cell">
        <TimeLeft {...props} />
      </td>
      <td className="jp-farlab-Workload-actions" role="cell">
        <Actions {...props} name={name} />
      </td>
    </tr>
  );
}

/** The state, the place in the queue, and why. */
function StateCell({ model, trans, workload }: IRowProps): JSX.Element {
  const place = queuePlace(workload);
  const reason = reasonText(workload);
  return (
    <td className="jp-farlab-Workload-state" role="cell">
      <span className="jp-farlab-State" data-state={workload.state}>
        {model.isCancelling(workload)
          ? trans.__('Cancelling…')
          : stateText(workload, trans)}
      </span>
      {place && (
        <span className="jp-farlab-Workload-place">
          {trans.__('Place %1 of %2', place.place, place.waiting)}
        </span>
      )}
      {reason && <p className="jp-farlab-Workload-reason">{reason}</p>}
    </td>
  );
}

function TimeLeft({ model, trans, workload }: IRowProps): JSX.Element {
  return (
    <UseSignal signal={model.ticked}>
      {() => {
        const left = model.left(workload);
        return (
          left !== null && (
            <span
              role="timer"
              aria-label={trans.__('%1 left', spanText(left, trans))}
            >
              {trans.__('%1 left', formatSpan(left))}
            </span>
          )
        );
      }}
    </UseSignal>
  );
}

interface IActionsProps extends IRowProps {
  name: string;
}

function Actions(props: IActionsProps): JSX.Element {
  const { actions, model, name, trans, workload } = props;
  const { uid } = workload;
  return (
    <>
      <Button
        className="jp-mod-styled jp-farlab-Action"
        aria-label={trans.__('Show the log of %1', name)}
        onClick={() => actions.showLog(uid)}
      >
        {trans.__('Log')}
      </Button>
      {mayAttach(workload) && (
        <Button
          className="jp-mod-styled jp-farlab-Action"
          aria-label={trans.__('Attach a notebook to %1', name)}
          onClick={() => actions.attach(uid)}
        >
          {trans.__('Attach')}
        </Button>
      )}
      {mayCancel(workload) && (
        <Button
          className="jp-mod-styled jp-farlab-Action"
          aria-label={trans.__('Cancel %1', name)}
          disabled={model.isCancelling(workload)}
          onClick={() => actions.cancel(uid)}
        >
          {trans.__('Cancel')}
        </Button>
      )}
    </>
  );
}
