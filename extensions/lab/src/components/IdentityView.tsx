import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';

import type { IdentityModel } from '../identityModel.js';
import { linkText } from '../identityText.js';
import { Failure } from './Failure.js';
import { LoginView } from './LoginView.js';
import { ISiteIdentityActions, SiteIdentity } from './SiteIdentity.js';
import { TokensTable } from './TokensTable.js';

export interface IIdentityViewProps {
  model: IdentityModel;
  actions: ISiteIdentityActions;
  /** Asks again; never rejects. */
  refresh: () => Promise<void>;
  trans: TranslationBundle;
}

/** The whole panel, in whichever state it is. */
export function IdentityView(props: IIdentityViewProps): JSX.Element {
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
function News({ model, trans }: IIdentityViewProps): JSX.Element {
  const news = model.news.map(site =>
    trans.__('%1: %2', site.title, linkText(site, trans))
  );
  // Always there, since a live region is only heard when its text changes.
  return (
    <p className="jp-farlab-Unseen" role="status" aria-live="polite">
      {news.join(', ')}
    </p>
  );
}

function StateView(props: IIdentityViewProps): JSX.Element {
  const { model, trans } = props;
  const { state } = model;
  switch (state.name) {
    case 'loading':
      return (
        <p className="jp-farlab-Note" aria-busy="true">
          {trans.__('Asking who you are at each site…')}
        </p>
      );
    case 'failed':
      return <Failure {...props} error={state.error} />;
    case 'known':
      return (
        <>
          {state.error && (
            <Failure
              {...props}
              error={state.error}
              before={trans.__('What is shown is old.')}
            />
          )}
          <LoginView {...state.identity} trans={trans} />
          <h3 className="jp-farlab-Section">{trans.__('At each site')}</h3>
          <ul className="jp-farlab-Identities">
            {state.identity.sites.map(site => (
              <SiteIdentity
                key={site.site}
                {...props}
                site={site}
                user={state.identity.user}
                isFollowed={model.isFollowed(site)}
              />
            ))}
          </ul>
          {state.identity.tokens.length > 0 && (
            <TokensTable tokens={state.identity.tokens} trans={trans} />
          )}
        </>
      );
  }
}
