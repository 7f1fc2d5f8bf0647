/**
 * What the plugins of this package share, and what other extensions may require.
 */
import { Token } from '@lumino/coreutils';

import type { IIdentity, ISiteIdentity } from './identityTypes.js';

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

/** Where a workload is on its way. */
export type WorkloadPhase =
  | 'requested'
  | 'submitted'
  | 'queued'
  | 'starting'
  | 'ready'
  | 'finished'
  | 'failed'
  | 'cancelled';

/** What this package reads of a workload; moments are epoch seconds on the server's clock. */
export interface IWorkload {
  uid: string;
  /** What its owner calls it; may be empty. */
  name: string;
  /** The name of a notebook server; empty for others. */
  server_name: string;
  kind: string;
  site: string;
  profile: string;
  state: WorkloadPhase;
  /** Why it is in this state, in a few words; may be empty. */
  reason: string;
  /** More about it, such as the place in the queue; may be empty. */
  message: string;
  node: string;
  created: number;
  /** When the site ends it. */
  deadline: number | null;
}

/** The workloads of this user. */
export interface IWorkloadsAnswer {
  /** All live ones, and the latest of those that have ended. */
  workloads: IWorkload[];
  /** The server's clock, in epoch seconds; null where it did not say. */
  now: number | null;
}

/**
 * Why a call to the server extension failed.
 *
 * - `missing`: the server has no such API, since the extension is not enabled;
 * - `unconfigured`: the extension knows of no Farlab service;
 * - `unreachable`: the server did not answer;
 * - `refused`: it answered with an error, whose text is the message.
 */
export type FailureKind =
  'missing' | 'unconfigured' | 'unreachable' | 'refused';

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

  /** List the workloads of this user. */
  workloads(): Promise<IWorkloadsAnswer>;

  /** Ask for one workload. */
  workload(uid: string): Promise<IWorkload>;

  /** Read the last lines of a workload's log. */
  log(uid: string, lines: number): Promise<string>;

  /** Cancel a workload; answers when its job has ended, after half a minute at the latest. */
  cancel(uid: string): Promise<IWorkload>;

  /** Ask who the user is at the hub and at each site. */
  identity(): Promise<IIdentity>;

  /** Have one site's account looked up anew; at most once a second. */
  checkIdentity(site: string): Promise<ISiteIdentity>;
}

/** The token of `IFarlab`. */
export const IFarlab = new Token<IFarlab>(
  '@farlab/lab:IFarlab',
  "A typed client of Farlab's APIs in this Jupyter server."
);
