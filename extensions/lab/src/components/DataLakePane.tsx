import type { TranslationBundle } from '@jupyterlab/translation';
import { closeIcon, UseSignal } from '@jupyterlab/ui-components';
import { useId, useRef } from 'react';

import type { DetailsModel } from '../datalakeDetails.js';
import type { PaneModel, PaneTab } from '../datalakePane.js';
import type { SelectionModel } from '../datalakeSelection.js';
import type { TransfersModel } from '../datalakeTransfers.js';
import { DataLakeActions, IDataLakeActionsProps } from './DataLakeActions.js';
import { DataLakeDetails, IDataLakeDetailsProps } from './DataLakeDetails.js';
import { DataLakePreview } from './DataLakePreview.js';
import type { IRuleActions } from './DataLakeRules.js';
import { DataLakeTransfers } from './DataLakeTransfers.js';

export interface IDataLakePaneProps extends IDataLakeActionsProps {
  pane: PaneModel;
  details: DetailsModel;
  selection: SelectionModel;
  transfers: TransfersModel;
  rules: IRuleActions;
  thumbnailUrl: IDataLakeDetailsProps['thumbnailUrl'];
  goTo: IDataLakeDetailsProps['goTo'];
  trans: TranslationBundle;
}

/** The lower part of the panel: tabs about the selected entry, and the transfers. */
export function DataLakePane(props: IDataLakePaneProps): JSX.Element {
  const { pane, trans } = props;
  const id = useId();
  return (
    <UseSignal signal={pane.changed}>
      {() => (
        <>
          <Tabs {...props} id={id} />
          <div
            id={`${id}-panel`}
            className="jp-farlab-LakePane-content"
            role="tabpanel"
            aria-label={tabText(pane.tab ?? 'details', trans)}
          >
            <Content {...props} />
          </div>
        </>
      )}
    </UseSignal>
  );
}

const TABS: readonly PaneTab[] = ['details', 'preview', 'transfers'];

function Tabs(props: IDataLakePaneProps & { id: string }): JSX.Element {
  const { id, pane, trans } = props;
  const list = useRef<HTMLDivElement>(null);
  const step = (key: string) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (by && pane.tab) {
      const next = (TABS.indexOf(pane.tab) + by + TABS.length) % TABS.length;
      pane.show(TABS[next]!);
      (list.current?.children[next] as HTMLElement | undefined)?.focus();
    }
  };
  return (
    <div className="jp-farlab-LakePane-tabs">
      <div
        ref={list}
        role="tablist"
        aria-label={trans.__('About the selected entry')}
        onKeyDown={event => step(event.key)}
      >
        {TABS.map(tab => (
          <button
            key={tab}
            role="tab"
            aria-selected={pane.tab === tab}
            aria-controls={`${id}-panel`}
            tabIndex={pane.tab === tab ? 0 : -1}
            onClick={() => pane.show(tab)}
          >
            {tabText(tab, trans)}
          </button>
        ))}
      </div>
      <button
        aria-label={trans.__('Close')}
        title={trans.__('Close')}
        onClick={() => pane.show(null)}
      >
        <closeIcon.react tag="span" />
      </button>
    </div>
  );
}

function Content(props: IDataLakePaneProps): JSX.Element {
  const { details, pane, transfers, trans } = props;
  if (pane.tab === 'transfers') {
    return <DataLakeTransfers model={transfers} trans={trans} />;
  }
  return (
    <>
      <UseSignal signal={details.changed}>
        {() => (
          <>
            <Name {...props} />
            {pane.tab === 'details' && <DataLakeActions {...props} />}
            {pane.tab === 'preview' && (
              <DataLakePreview
                preview={details.preview}
                name={details.subject?.entry.name ?? ''}
                retry={() => void details.showPreview(true)}
                trans={trans}
              />
            )}
          </>
        )}
      </UseSignal>
      {pane.tab === 'details' && <DataLakeDetails {...props} model={details} />}
    </>
  );
}

/** What is selected. */
function Name({ details, selection, trans }: IDataLakePaneProps): JSX.Element {
  return (
    <UseSignal signal={selection.changed}>
      {() => {
        const name = details.subject?.entry.name;
        const count = selection.subjects.length;
        return (
          <h3 className="jp-farlab-LakePane-name">
            {count > 1 ? trans.__('%1 and %2 more', name, count - 1) : name}
          </h3>
        );
      }}
    </UseSignal>
  );
}

function tabText(tab: PaneTab, trans: TranslationBundle): string {
  return {
    details: trans.__('Details'),
    preview: trans.__('Preview'),
    transfers: trans.__('Transfers')
  }[tab];
}
