import type { TranslationBundle } from '@jupyterlab/translation';
import { refreshIcon, UseSignal } from '@jupyterlab/ui-components';

import type { PaneModel } from '../datalakePane.js';
import { DataLakeProblem } from './DataLakeProblem.js';
import { DataLakeSearch, IDataLakeSearchProps } from './DataLakeSearch.js';
import { DataLakeTree, IDataLakeTreeProps } from './DataLakeTree.js';

export interface IDataLakeTopProps
  extends IDataLakeSearchProps, IDataLakeTreeProps {
  pane: PaneModel;
  /** Reads all of it anew; never rejects. */
  refresh: () => void;
}

/** The upper part of the panel: the lakes in whichever state they are, and the search. */
export function DataLakeTop(props: IDataLakeTopProps): JSX.Element {
  const { lakes, pane, refresh, trans, tree } = props;
  return (
    <>
      <div className="jp-farlab-LakeHead">
        <h2>{trans.__('DataLake')}</h2>
        <button onClick={() => pane.show('transfers')}>
          {trans.__('Transfers')}
        </button>
        <button
          aria-label={trans.__('Refresh')}
          title={trans.__('Refresh')}
          onClick={refresh}
        >
          <refreshIcon.react tag="span" />
        </button>
      </div>
      <UseSignal signal={lakes.changed}>
        {() => (
          <>
            <UseSignal signal={tree.changed}>
              {() => (
                <UseSignal signal={lakes.prepared}>
                  {() => <DataLakeSearch {...props} />}
                </UseSignal>
              )}
            </UseSignal>
            <Lakes {...props} trans={trans} />
          </>
        )}
      </UseSignal>
    </>
  );
}

function Lakes(props: IDataLakeTopProps): JSX.Element {
  const { lakes, refresh, trans } = props;
  const { state } = lakes;
  switch (state.name) {
    case 'loading':
      return (
        <p className="jp-farlab-Note" aria-busy="true">
          {trans.__('Asking for the lakes…')}
        </p>
      );
    case 'failed':
      return (
        <DataLakeProblem
          problem={state.problem}
          retry={refresh}
          trans={trans}
        />
      );
    case 'list':
      return state.lakes.length > 0 ? (
        <DataLakeTree {...props} />
      ) : (
        <Empty trans={trans} />
      );
  }
}

function Empty({ trans }: { trans: TranslationBundle }): JSX.Element {
  return (
    <div className="jp-farlab-Note">
      <p>{trans.__('This server knows of no lake.')}</p>
      <p>
        {trans.__(
          'On a hub, who runs it adds lakes to the catalogue; on your own computer, add ' +
            '"lakes:" to your sites.yaml. Then start a new server.'
        )}
      </p>
    </div>
  );
}
