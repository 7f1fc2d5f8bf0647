import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';

import { kindIcon } from '../icons.js';
import {
  accountText,
  closedText,
  externalText,
  linkText
} from '../identityText.js';
import type { ISiteIdentity } from '../identityTypes.js';
import type { SiteKind } from '../tokens.js';

/** What the buttons of a site do; none of them rejects. */
export interface ISiteIdentityActions {
  link: (site: string) => void;
  unlink: (site: string) => void;
  check: (site: string) => void;
  stopFollowing: (site: string) => void;
}

export interface ISiteIdentityProps {
  site: ISiteIdentity;
  user: string;
  /** Whether the user links or unlinks an account there now. */
  isFollowed: boolean;
  actions: ISiteIdentityActions;
  trans: TranslationBundle;
}

/** Who the user is at one site, why it is closed, and what to do. */
export function SiteIdentity(props: ISiteIdentityProps): JSX.Element {
  const { isFollowed, site, trans, user } = props;
  const Icon = kindIcon(site.kind as SiteKind);
  return (
    <li
      className="jp-farlab-Identity"
      data-site={site.site}
      data-may-link={site.link_url ? true : undefined}
    >
      <div className="jp-farlab-Identity-head">
        <Icon.react tag="span" className="jp-farlab-Identity-icon" />
        <span className="jp-farlab-Identity-title">{site.title}</span>
        <span className="jp-farlab-State" data-state={site.state}>
          {linkText(site, trans)}
        </span>
      </div>
      {site.account && (
        <p className="jp-farlab-Faint">{accountText(site, trans)}</p>
      )}
      {site.external.map(one => (
        <p key={`${one.issuer} ${one.subject}`} className="jp-farlab-Faint">
          {externalText(one, trans)}
        </p>
      ))}
      {!site.open && (
        <p className="jp-farlab-Identity-reason">{closedText(site, user)}</p>
      )}
      {isFollowed ? <Followed {...props} /> : <Actions {...props} />}
    </li>
  );
}

function Followed({ actions, site, trans }: ISiteIdentityProps): JSX.Element {
  return (
    <div className="jp-farlab-Identity-actions">
      <span aria-busy="true">
        {trans.__('Go on in the other tab; this page follows…')}
      </span>
      <Button
        className="jp-mod-styled jp-farlab-Action"
        onClick={() => actions.stopFollowing(site.site)}
      >
        {trans.__('Stop')}
      </Button>
    </div>
  );
}

function Actions({ actions, site, trans }: ISiteIdentityProps): JSX.Element {
  const isLinked = site.state === 'linked';
  return (
    <div className="jp-farlab-Identity-actions">
      {site.link_url && !isLinked && (
        <Button
          className="jp-mod-styled jp-farlab-Action"
          aria-label={trans.__('Link an account at %1', site.title)}
          onClick={() => actions.link(site.site)}
        >
          {trans.__('Link now')}
        </Button>
      )}
      {site.unlink_url && isLinked && (
        <Button
          className="jp-mod-styled jp-farlab-Action"
          aria-label={trans.__('Unlink your account at %1', site.title)}
          onClick={() => actions.unlink(site.site)}
        >
          {trans.__('Unlink…')}
        </Button>
      )}
      {site.rule !== 'none' && (
        <Button
          className="jp-mod-styled jp-farlab-Action"
          aria-label={trans.__('Check your account at %1 again', site.title)}
          onClick={() => actions.check(site.site)}
        >
          {trans.__('Check again')}
        </Button>
      )}
    </div>
  );
}
