/**
 * What the server's DataLake API tells and takes; `farlab_server_ext.datalake.lake` says what
 * each word means. Moments are epoch seconds.
 */

/** What a lake can do. */
export type Capability =
  | 'search'
  | 'search-metadata'
  | 'search-area'
  | 'read'
  | 'link'
  | 'write'
  | 'remove'
  | 'replicas'
  | 'rules'
  | 'metadata'
  | 'attach';

export interface ILake {
  name: string;
  title: string;
  description: string;
  kind: string;
  capabilities: Capability[];
  /** How one logs in: `userpass` and `keys` are typed, others come with the server. */
  identity: string | null;
  logged_in: boolean;
  user: string | null;
  /** The lake's storage element whose files are on this machine. */
  rse: string | null;
  /** The lake's own page, for people. */
  web: string | null;
}

export type EntryKind =
  | 'scope'
  | 'container'
  | 'dataset'
  | 'file'
  | 'folder'
  | 'bucket'
  | 'catalogue'
  | 'collection'
  | 'item'
  | 'asset';

export interface IEntry {
  name: string;
  /** How its lake finds it again. */
  path: string;
  kind: EntryKind;
  size: number | null;
  modified: number | null;
  checksum: string | null;
  state: string | null;
  more: Record<string, unknown>;
}

export interface IPage {
  entries: IEntry[];
  /** Where the following page begins; null after the last. */
  next: string | null;
}

export interface IQuery {
  text: string;
  /** Searches below this entry. */
  path: string;
  metadata: Record<string, string>;
  /** West, south, east, north in degrees. */
  bbox?: Box | undefined;
  /** A moment, or an interval, as STAC writes it. */
  time?: string | undefined;
}

/** West, south, east, north in degrees. */
export type Box = readonly [number, number, number, number];

export interface IDetails {
  entry: IEntry;
  metadata: Record<string, unknown>;
  parents: IEntry[];
  /** Where it can be opened on this machine. */
  here: string | null;
  /** The keys of its metadata that may be changed. */
  editable: string[];
}

export interface IReplica {
  rse: string;
  state: string;
  pfns: string[];
  path: string | null;
  problem: string | null;
}

/** How much of a dataset is at one storage element. */
export interface IShare {
  rse: string;
  state: string;
  files: number;
  files_there: number;
  size: number | null;
  size_there: number | null;
}

export interface IReason {
  did: string | null;
  rse: string | null;
  reason: string;
}

export interface IRule {
  id: string;
  did: string;
  rse: string;
  account: string;
  state: string;
  ok: number;
  replicating: number;
  stuck: number;
  created: number | null;
  ends: number | null;
  error: string | null;
  comment: string | null;
  reasons?: IReason[];
}

/** An entry of another lake that something refers to. */
export interface IReference {
  lake: string;
  path: string;
}

/** Where an item's assets are. */
export interface IWhere {
  dataset: IReference | null;
  assets: Record<string, IAssetPlace[]>;
}

export interface IAssetPlace extends IReference {
  rses: string[];
  here: string | null;
}

/** What was registered of one page of items. */
export interface IRegistered {
  scope: string;
  container: string | null;
  datasets: { path: string; files: number; known: number }[];
  skipped: { item: string; asset: string; reason: string }[];
  next: string | null;
  done: boolean;
}

export interface IMadeItem {
  item: Record<string, unknown>;
  url: string | null;
  lake: string | null;
  path: string | null;
}

export interface IPreview {
  kind: 'text' | 'table' | 'image' | 'header' | 'none';
  text: string;
  columns: string[];
  rows: string[][];
  media_type: string;
  /** An image's bytes in base 64. */
  data: string;
  whole: boolean;
}

export type TransferState =
  'waiting' | 'active' | 'done' | 'partly' | 'failed' | 'cancelled' | 'expired';

export interface ITransfer {
  id: string;
  way: 'copy' | 'fts' | 'stream' | 'rule';
  title: string;
  source: string;
  destination: string;
  state: TransferState;
  reason: string;
  files_total: number;
  files_done: number;
  bytes_total: number | null;
  bytes_done: number | null;
  /** Bytes per second. */
  rate: number | null;
  outlives_token: boolean;
  actions: ('cancel' | 'retry' | 'forget')[];
}

export interface IUpload {
  id: string;
  lake: string;
  source: string;
  /** Of a Rucio; empty for a storage's. */
  dataset: string;
  /** Of a storage. */
  folder: string;
  state: 'running' | 'done' | 'failed' | 'cut';
  error: IProblem | null;
  progress: Partial<IUploadProgress>;
}

export interface IUploadProgress {
  files: number;
  files_done: number;
  /** Bytes. */
  size: number;
  size_done: number;
}

/** Why something could not be done, and what to do about it. */
export interface IProblem {
  /** A word of the API's, or of `datalakeText` for what is no answer of the API. */
  code: string;
  message: string;
  fix: string;
}

/** A call that failed, with the API's own words. */
export class LakeFailure extends Error implements IProblem {
  constructor(
    readonly code: string,
    message: string,
    readonly fix: string = ''
  ) {
    super(message);
    this.name = 'LakeFailure';
  }
}

/** What the user types to log in. */
export interface ILogin {
  username: string;
  password: string;
  account: string;
}

const CONTAINERS: readonly EntryKind[] = [
  'scope',
  'container',
  'dataset',
  'folder',
  'bucket',
  'catalogue',
  'collection',
  'item'
];

/** Whether an entry has others in it. */
export function isContainer(entry: IEntry): boolean {
  return CONTAINERS.includes(entry.kind);
}

/** Whether a lake can do something. */
export function can(lake: ILake, capability: Capability): boolean {
  return lake.capabilities.includes(capability);
}

/** Whether a lake is made of folders and files. */
export function isStorage(lake: ILake): boolean {
  return lake.kind === 'webdav' || lake.kind === 's3';
}

/** Whether an entry is a Rucio's dataset or container. */
export function isCollection(lake: ILake, entry: IEntry): boolean {
  return (
    isDid(lake, entry) &&
    (entry.kind === 'dataset' || entry.kind === 'container')
  );
}

/** Whether an entry is a Rucio's file, dataset or container. */
export function isDid(lake: ILake, entry: IEntry): boolean {
  return lake.kind === 'rucio' && entry.kind !== 'scope';
}
