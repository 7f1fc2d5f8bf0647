/**
 * Who a user is, as the hub service tells. Moments are epoch seconds.
 */

/** How a site says which local account a user has. */
export type MappingRule = 'none' | 'file' | 'alise' | 'claim' | 'vo';

/**
 * Whether a user has an account at a site.
 *
 * - `cannot-check`: whoever knows did not answer, so nobody can say;
 * - `refused`: the site is closed to the user, whichever account there is;
 * - `not-needed`: its jobs run under an account of the site's own.
 */
export type LinkState =
  'linked' | 'not-linked' | 'cannot-check' | 'refused' | 'not-needed';

/** An identity that is linked to a local account. */
export interface IExternalIdentity {
  issuer: string;
  subject: string;
  name: string;
  last_seen: number | null;
}

/** Who the user is at a site. */
export interface ISiteIdentity {
  site: string;
  title: string;
  kind: string;
  rule: MappingRule;
  state: LinkState;
  account: string | null;
  last_seen: number | null;
  external: IExternalIdentity[];
  open: boolean;
  /** Why it is closed to the user. */
  reason: string;
  /** What to do about it. */
  fix: string;
  /** The page on which an account is linked; null where that is done another way. */
  link_url: string | null;
  unlink_url: string | null;
  checked: number | null;
}

/** The login at the hub's provider; `none`: the hub has none of this kind. */
export interface ILogin {
  issuer: string;
  subject: string;
  name: string;
  ends: number | null;
  state: 'live' | 'ended' | 'none' | 'unknown';
  reason: string;
  /** Where to log in again; empty where there is no such login. */
  login_url: string;
  entitlements: string[];
  groups: string[];
}

/** A token that the user's servers may ask for, and what came of it last. */
export interface ITokenState {
  name: string;
  title: string;
  audience: string;
  scope: string;
  state: 'live' | 'none' | 'ended' | 'refused';
  ends: number | null;
  reason: string;
}

/** The answer of `GET farlab/api/identity`. */
export interface IIdentity {
  user: string;
  login: ILogin;
  tokens: ITokenState[];
  sites: ISiteIdentity[];
}
