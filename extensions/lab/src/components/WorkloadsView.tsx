import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';

import { nameText, stateText } from '../workloadText.js';
import type { WorkloadsModel } from '../workloadsModel.js';
import { Failure } from './Failure.js';
import { IWorkloadActions, WorkloadsTable } from './WorkloadsTable.js';

export interface IWorkloadsViewProps {
  model: WorkloadsModel;
  actions: IWorkloadActions;
  /** Asks again; never rejects. */
  refresh: () => Promise<void>;
  trans: TranslationBundle;
}

/** The whole panel, in whichever state it is. */
export function WorkloadsView(props: IWorkloadsViewProps): JSX.Element {
  return (
    <UseSignal signal={props.model.changed}>
      {() => (
        <>
          <News {...props} />
          <StateView {...props} />
        </>
      )}
    </UseSignal>
  );
}

/** Says what changed to people who cannot see it. */
function News({ model, trans }: IWorkloadsViewProps): JSX.Element {
  const news = model.news.map(workload =>
    trans.__('%1: %2', nameText(workload, trans), stateText(workload, trans))
  );
  // Always there, since a live region is only heard when its text changes.
  return (
    <p className="jp-farlab-Unseen" role="status" aria-live="polite">
      {news.join(', ')}
    </p>
  );
}

function StateView(props: IWorkloadsViewProps): JSX.Element {
  const { model, trans } = props;
  const { state } = model;
  switch (state.name) {
    case 'loading':
      return (
        <p className="jp-farlab-Note" aria-busy="true">
          {trans.__('Asking for your workloads…')}
        </p>
      );
    case 'failed':
      return <Failure {...props} error={state.error} />;
    case 'list':
      return (
        <>
          {state.error && (
            <Failure
              {...props}
              error={state.error}
              before={trans.__('This list is old.')}
            />
          )}
          {state.workloads.length > 0 ? (
            <WorkloadsTable {...props} />
          ) : (
            <Empty trans={trans} />
          )}
        </>
      );
  }
}

function Empty({ trans }: Pick<IWorkloadsViewProps, 'trans'>): JSX.Element {
  return (
    <div className="jp-farlab-Note">
      <p>{trans.__('Nothing of yours runs at a site.')}</p>
      <p>
        {trans.__(
          'Run "%load_ext farlab_kernels" in a notebook, then begin a cell with "%%offload"; ' +
            'or choose a kernel at a site in the launcher.'
        )}
      </p>
    </div>
  );
}
