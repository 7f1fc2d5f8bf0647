import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';

import type { ServerModel } from '../model.js';
import { Failure } from './Failure.js';
import { PlaceView } from './PlaceView.js';

export interface IServerViewProps {
  model: ServerModel;
  trans: TranslationBundle;
}

/** The whole panel, in whichever state it is. */
export function ServerView(props: IServerViewProps): JSX.Element {
  return (
    <UseSignal signal={props.model.changed}>
      {() => <StateView {...props} />}
    </UseSignal>
  );
}

function StateView({ model, trans }: IServerViewProps): JSX.Element {
  const { state } = model;
  switch (state.name) {
    case 'loading':
      return (
        <p className="jp-farlab-Note" aria-busy="true">
          {trans.__('Asking the server where it runs…')}
        </p>
      );
    case 'nowhere':
      return (
        <div className="jp-farlab-Note">
          <p>{trans.__('This server does not run at a Farlab site.')}</p>
          <p>
            {trans.__(
              'Pick a site when you start a server on a hub with Farlab, and its facts are here.'
            )}
          </p>
        </div>
      );
    case 'failed':
      return (
        <Failure
          error={state.error}
          refresh={() => model.refresh()}
          trans={trans}
        />
      );
    case 'place':
      return <PlaceView model={model} place={state.place} trans={trans} />;
  }
}
