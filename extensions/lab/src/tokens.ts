/**
 * What the plugins of this package share, and what other extensions may require.
 */
import { Token } from '@lumino/coreutils';

/** The kinds of sites. */
export type SiteKind = 'cloud' | 'hpc' | 'htc' | 'quantum';

/** Where this server runs, as its server extension tells; null for what it does not know. */
export interface IPlace {
  /** The site's name in the catalogue; null when the server does not run at a site. */
  site: string | null;
  /** The site's name for people. */
  site_title: string | null;
  kind: SiteKind | null;
  profile: string | null;
  /** The host name of the machine that runs the server. */
  node: string | null;
  /** The job's id in the site's batch system. */
  job_id: string | null;
  /** The workload's id in the hub service. */
  workload: string | null;
  /** When the site ends the job, in epoch seconds. */
  deadline: number | null;
}

/** The answer of `GET farlab/api/server`. */
export interface IServerAnswer extends IPlace {
  /** The server's clock, in epoch seconds: the browser's may be wrong. */
  now: number;
}

/**
 * Why a call to the server extension failed.
 *
 * - `missing`: the server has no such API, since the extension is not enabled;
 * - `unreachable`: the server did not answer;
 * - `refused`: it answered with an error, whose text is the message.
 */
export type FailureKind = 'missing' | 'unreachable' | 'refused';

/** A failed call to the server extension. */
export class FarlabError extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string
  ) {
    super(message);
    this.name = 'FarlabError';
  }
}

/** Farlab's APIs in this server. Each call rejects with a `FarlabError`. */
export interface IFarlab {
  /** Ask where this server runs. */
  server(): Promise<IServerAnswer>;
}

/** The token of `IFarlab`. */
export const IFarlab = new Token<IFarlab>(
  '@farlab/lab:IFarlab',
  "A typed client of Farlab's APIs in this Jupyter server."
);
