import type { ISiteIdentity, IIdentity } from './identityTypes.js';
import { Observable } from './observable.js';
import type { FarlabError, IFarlab } from './tokens.js';

/** What is known: nothing yet, an answer that may be old, or why there is none. */
export type IdentityState =
  | { name: 'loading' }
  | { name: 'known'; identity: IIdentity; error: FarlabError | null }
  | { name: 'failed'; error: FarlabError };

/** Seconds for which a page of account linking is followed to its end. */
export const PATIENCE = 600;

/** Who the user is at the hub and at each site, as the service last told. */
export class IdentityModel extends Observable {
  /**
   * @param farlab asks the service
   * @param clock the browser's clock, in epoch seconds
   */
  constructor(
    private readonly _farlab: Pick<IFarlab, 'identity' | 'checkIdentity'>,
    private readonly _clock: () => number = () => Date.now() / 1000
  ) {
    super();
  }

  get state(): IdentityState {
    return this._state;
  }

  get sites(): ISiteIdentity[] {
    return this._state.name === 'known' ? this._state.identity.sites : [];
  }

  /** The sites whose linkage changed last, for people who cannot see it. */
  get news(): ISiteIdentity[] {
    return this._news;
  }

  /** Whether something is being followed to its end. */
  get isFollowing(): boolean {
    return this._followed.size > 0;
  }

  /** The site of that name, if it is known. */
  find(name: string): ISiteIdentity | undefined {
    return this.sites.find(site => site.site === name);
  }

  /** Whether the user is linking or unlinking an account there, in another tab. */
  isFollowed(site: ISiteIdentity): boolean {
    return this._followed.has(site.site);
  }

  /** Ask for all of it anew. Rejects with the `FarlabError` that the state then shows. */
  async refresh(): Promise<void> {
    const request = ++this._requests;
    try {
      const identity = await this._farlab.identity();
      // An older answer must not overwrite a newer one.
      if (request === this._requests) {
        this._show(identity);
      }
    } catch (reason) {
      const error = reason as FarlabError;
      if (request === this._requests) {
        this._state =
          this._state.name === 'known'
            ? { ...this._state, error }
            : { name: 'failed', error };
        this.tellOfChange();
      }
      throw error;
    }
  }

  /** Ask anew about one site. Rejects with a `FarlabError`. */
  async check(name: string): Promise<void> {
    const told = await this._farlab.checkIdentity(name);
    this._requests += 1; // an answer on its way may be older than this one
    if (this._state.name === 'known') {
      const sites = this.sites.map(site => (site.site === name ? told : site));
      this._show({ ...this._state.identity, sites });
    }
  }

  /** Follow what the user does in another tab, until the linkage there is another one. */
  follow(name: string): void {
    const site = this.find(name);
    if (site) {
      const until = this._clock() + PATIENCE;
      this._followed.set(name, { until, before: linkage(site) });
      this.tellOfChange();
    }
  }

  /** Follow no more. */
  unfollow(name: string): void {
    if (this._followed.delete(name)) {
      this.tellOfChange();
    }
  }

  /** Look how far the user is; to be called every few seconds. Rejects with a `FarlabError`. */
  async followUp(): Promise<void> {
    for (const [name, { until }] of [...this._followed]) {
      if (this._clock() > until) {
        this.unfollow(name);
      } else {
        await this.check(name);
      }
    }
  }

  private _show(identity: IIdentity): void {
    const news = identity.sites.filter(site => {
      const known = this.find(site.site);
      return known !== undefined && linkage(known) !== linkage(site);
    });
    if (news.length > 0) {
      this._news = news;
    }
    for (const site of identity.sites) {
      const followed = this._followed.get(site.site);
      // That nobody can say is not the end of it.
      if (
        followed &&
        site.state !== 'cannot-check' &&
        followed.before !== linkage(site)
      ) {
        this._followed.delete(site.site);
      }
    }
    this._state = { name: 'known', identity, error: null };
    this.tellOfChange();
  }

  private _followed = new Map<string, { until: number; before: string }>();
  private _news: ISiteIdentity[] = [];
  private _requests = 0;
  private _state: IdentityState = { name: 'loading' };
}

/** What of a site's answer changes when an account is linked or unlinked. */
function linkage(site: ISiteIdentity): string {
  const others = site.external.map(one => `${one.issuer} ${one.subject}`);
  return JSON.stringify([site.state, site.account, others.sort()]);
}
