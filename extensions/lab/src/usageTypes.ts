/**
 * What was used, as the hub service tells. Moments are epoch seconds.
 */

/** What of a row is added up in the chart. */
export type Quantity = 'core_hours' | 'gpu_hours' | 'memory_gib_hours';

/** Sums of usage. */
export interface IUsageSums {
  core_hours: number;
  gpu_hours: number;
  memory_gib_hours: number;
  wait_hours: number;
  /** CPU time that was really used, of those whose time is known. */
  cpu_hours: number;
  /** CPU time per core time of those; null where it is known of none. */
  efficiency: number | null;
  /** GPU hours of jobs that used hardly any CPU. */
  idle_gpu_hours: number;
  workloads: number;
  failed: number;
  /** Null where nobody can say. */
  energy_kwh: number | null;
  co2e_g: number | null;
  energy_source: string;
}

/** Sums of one step and whatever else was asked for. */
export interface IUsageRow extends IUsageSums {
  day?: string;
  month?: string;
  site?: string;
  profile?: string;
  user?: string;
  group?: string;
}

/** The answer of `GET usage`. */
export interface IUsage {
  since: string;
  until: string;
  rows: IUsageRow[];
  totals: IUsageSums;
}

/** A workload that lives, and what it has used so far. */
export interface IRunning {
  uid: string;
  name: string;
  kind: string;
  site: string;
  profile: string;
  state: string;
  started: number | null;
  elapsed_s: number;
  left_s: number | null;
  wait_s: number;
  cores: number;
  gpus: number;
  memory: number;
  core_hours: number;
  gpu_hours: number;
}

/** How a budget stands. */
export interface IBudget {
  name: string;
  scope: 'user' | 'group';
  subject: string;
  /** Where it counts; empty: everywhere. */
  sites: string[];
  unit: string;
  amount: number;
  used: number;
  /** What live workloads may still use of it. */
  held: number;
  left: number;
  window: string;
  state: 'ok' | 'warn' | 'full';
  empty_on: number | null;
  room_at: number | null;
}

/** What one ended workload used. */
export interface IUsageRecord {
  uid: string;
  owner: string;
  site: string;
  kind: string;
  profile: string;
  image: string;
  account: string;
  job_id: string;
  submitted: number;
  started: number | null;
  ended: number | null;
  cores: number;
  gpus: number;
  gpu_type: string;
  memory: number;
  cpu_s: number | null;
  peak_memory: number | null;
  energy_kwh: number | null;
  energy_source: string;
  co2e_g: number | null;
  state: string;
  reason: string;
  exit_code: number | null;
}

/** A page of records, the newest first. */
export interface IUsageRecords {
  records: IUsageRecord[];
  /** Where the next page begins; null at the end. */
  next: string | null;
}

/** Whose usage: one's own, a group's, or everyone's. */
export type Whose =
  { name: 'mine' } | { name: 'group'; group: string } | { name: 'all' };

/** How workloads started at a site; spans in seconds. */
export interface IStarts {
  site: string;
  asked: number;
  started: number;
  failed: number;
  success: number | null;
  first_cell_p50: number | null;
  first_cell_p90: number | null;
  wait_p50: number | null;
  wait_p90: number | null;
}

/** What was run with an image. */
export interface IImageUse {
  image: string;
  workloads: number;
  core_hours: number;
  gpu_hours: number;
}

/** What those who run a hub or a group look at. */
export interface IOverview {
  users: IUsageRow[];
  groups: IUsageRow[];
  sites: IUsageRow[];
  images: IImageUse[];
  starts: IStarts[];
  active_users: { day: number; week: number; month: number };
}

/** How far a month is with one receiver of records. */
export interface IPublished {
  target: string;
  month: string;
  records: number;
  messages: number;
  /** Messages that could not be sent yet. */
  waiting: number;
  last_sent: number | null;
  /** Records that can't be sent as they are. */
  rejected: number;
  /** Why the last try failed; empty after one that did not. */
  failure: string;
}

/** What a receiver gets of one workload. */
export interface IUsageMessage {
  target: string;
  month: string;
  records: 'cloud' | 'jobs' | 'summaries';
  text: string;
  /** Why it is not sent; empty if it is. */
  problem: string;
}

/** How complete the ledger is; for administrators. */
export interface IHealth {
  sites: { site: string; heartbeat: number; live: number }[];
  gaps: { uid: string; owner: string; site: string; problem: string }[];
  duplicates: { site: string; job_id: string; uids: string[] }[];
  rejects: { time: number; site: string; uid: string; problem: string }[];
  publication: IPublished[];
}

/** Whose usage the user may read besides their own. */
export interface IReadable {
  groups: string[];
  all: boolean;
}
