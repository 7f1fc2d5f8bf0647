import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
  Box,
  EntryKind,
  IDetails,
  IEntry,
  ILake,
  ILogin,
  IPage,
  IPreview,
  IQuery,
  IReplica,
  IRule,
  IShare,
  ITransfer,
  IMadeItem,
  IRegistered,
  IUpload,
  IWhere
} from './datalakeTypes.js';
import { LakeFailure } from './datalakeTypes.js';

/** What a new upload is made of. */
export interface IUploadWish {
  lake: string;
  /** A file or folder on the server. */
  source: string;
  /** Where to, in a Rucio. */
  dataset?: string;
  /** Which RSE, in a Rucio; empty: this site's. */
  rse?: string;
  /** Where to, in a storage. */
  folder?: string;
  /** What the names begin with. */
  prefix: string;
  /** Null: for good. */
  days: number | null;
  metadata: Record<string, unknown>;
}

/** What a new entry is to be. */
export interface ICreateWish {
  kind: EntryKind;
  /** Of a Rucio's alone. */
  metadata?: Record<string, unknown>;
  days?: number;
}

/** What a new rule is to be. */
export interface IRuleWish {
  /** Null: for good. */
  days: number | null;
  /** Empty: this server's. */
  rse: string;
  comment: string;
}

/** What is carried from one lake to another. */
export interface ICopyWish {
  source: string;
  destination: string;
  /** Paths there and here. */
  files: [string, string][];
  title: string;
  overwrite: boolean;
}

/** What of a STAC catalogue is to be registered, and where. */
export interface IRegisterWish {
  path: string;
  lake?: string;
  scope?: string;
  /** Only look what would be done. */
  dry?: boolean;
  cursor?: string;
}

/** Of what a STAC item is to be made. */
export interface IItemWish {
  path: string;
  bbox?: Box;
  start?: string;
  end?: string;
  collection?: string;
  /** Without it the item is only made. */
  to?: { lake: string; path: string };
}

/** Calls the server's DataLake API. Each call rejects with a `LakeFailure`. */
export class DataLakeClient {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  lakes(): Promise<ILake[]> {
    return this._ask('GET', 'lakes');
  }

  /** Learn what a lake can do, where it must be asked. */
  lake(lake: string): Promise<ILake> {
    return this._ask('GET', `lakes/${lake}`);
  }

  logIn(lake: string, login: ILogin): Promise<ILake> {
    return this._ask('PUT', `lakes/${lake}/identity`, { body: login });
  }

  logOut(lake: string): Promise<void> {
    return this._ask('DELETE', `lakes/${lake}/identity`);
  }

  entries(
    lake: string,
    path: string,
    cursor: string,
    limit: number,
    signal?: AbortSignal
  ): Promise<IPage> {
    const query = { path, cursor, limit: String(limit) };
    return this._ask('GET', `lakes/${lake}/entries`, { query, signal });
  }

  search(
    lake: string,
    wanted: IQuery,
    cursor: string,
    limit: number,
    signal?: AbortSignal
  ): Promise<IPage> {
    const query = {
      text: wanted.text,
      path: wanted.path,
      metadata: JSON.stringify(wanted.metadata),
      bbox: wanted.bbox?.join(',') ?? '',
      time: wanted.time ?? '',
      cursor,
      limit: String(limit)
    };
    return this._ask('GET', `lakes/${lake}/search`, { query, signal });
  }

  create(lake: string, path: string, wish: ICreateWish): Promise<IEntry> {
    const body = { path, ...wish };
    return this._ask('POST', `lakes/${lake}/entries`, { body });
  }

  remove(lake: string, path: string): Promise<void> {
    return this._ask('DELETE', `lakes/${lake}/entries`, { query: { path } });
  }

  /** Put entries into a dataset or container. */
  attach(lake: string, path: string, children: string[]): Promise<void> {
    const body = { path, children };
    return this._ask('POST', `lakes/${lake}/attachments`, { body });
  }

  /** Take entries out of a dataset or container. */
  detach(lake: string, path: string, children: string[]): Promise<void> {
    const body = { path, children };
    return this._ask('DELETE', `lakes/${lake}/attachments`, { body });
  }

  /** Let nothing be put into a dataset or container any more. */
  close(lake: string, path: string): Promise<void> {
    return this._ask('POST', `lakes/${lake}/closed`, { body: { path } });
  }

  /** Set keys of an entry; null removes one. */
  setMetadata(
    lake: string,
    path: string,
    changes: Record<string, unknown>
  ): Promise<IDetails> {
    const body = { path, changes };
    return this._ask('PATCH', `lakes/${lake}/metadata`, { body });
  }

  /** Let a DID end in so many days; null: never. */
  setLifetime(
    lake: string,
    path: string,
    days: number | null
  ): Promise<IDetails> {
    const body = { path, days };
    return this._ask('PATCH', `lakes/${lake}/lifetime`, { body });
  }

  details(lake: string, path: string, signal?: AbortSignal): Promise<IDetails> {
    return this._ask('GET', `lakes/${lake}/details`, {
      query: { path },
      signal
    });
  }

  preview(lake: string, path: string, signal?: AbortSignal): Promise<IPreview> {
    return this._ask('GET', `lakes/${lake}/preview`, {
      query: { path },
      signal
    });
  }

  replicas(
    lake: string,
    paths: string[],
    signal?: AbortSignal
  ): Promise<Record<string, IReplica[]>> {
    return this._ask('POST', `lakes/${lake}/replicas`, {
      body: { paths },
      signal
    });
  }

  shares(lake: string, path: string, signal?: AbortSignal): Promise<IShare[]> {
    return this._ask('GET', `lakes/${lake}/shares`, {
      query: { path },
      signal
    });
  }

  rules(lake: string, path: string, signal?: AbortSignal): Promise<IRule[]> {
    return this._ask('GET', `lakes/${lake}/rules`, { query: { path }, signal });
  }

  rule(lake: string, rule: string, signal?: AbortSignal): Promise<IRule> {
    return this._ask('GET', `lakes/${lake}/rules/${rule}`, { signal });
  }

  /** Have an entry brought to a storage element for so many days, or for good. */
  makeAvailable(lake: string, path: string, wish: IRuleWish): Promise<IRule> {
    const body = { path, ...wish };
    return this._ask('POST', `lakes/${lake}/rules`, { body });
  }

  changeRule(
    lake: string,
    rule: string,
    change: { days?: number; retry?: boolean }
  ): Promise<IRule> {
    return this._ask('PATCH', `lakes/${lake}/rules/${rule}`, { body: change });
  }

  removeRule(lake: string, rule: string): Promise<void> {
    return this._ask('DELETE', `lakes/${lake}/rules/${rule}`);
  }

  link(
    lake: string,
    path: string,
    seconds: number
  ): Promise<{ url: string; ends: number }> {
    return this._ask('POST', `lakes/${lake}/link`, { body: { path, seconds } });
  }

  /** Where a browser that is logged in to this server downloads a file. */
  contentUrl(lake: string, path: string): string {
    return this._url(`lakes/${lake}/content`, { path });
  }

  /** Where an image of an item is, for this browser. */
  thumbnailUrl(lake: string, path: string): string {
    return this._url(`lakes/${lake}/thumbnail`, { path });
  }

  /** Where an item's assets are in the lakes. */
  where(lake: string, path: string, signal?: AbortSignal): Promise<IWhere> {
    const query = { path };
    return this._ask('GET', `lakes/${lake}/where`, { query, signal });
  }

  /** Register the assets of a page of items as DIDs. */
  register(lake: string, wish: IRegisterWish): Promise<IRegistered> {
    return this._ask('POST', `lakes/${lake}/register`, { body: wish });
  }

  /** Make a STAC item of a dataset. */
  makeItem(lake: string, wish: IItemWish): Promise<IMadeItem> {
    return this._ask('POST', `lakes/${lake}/item`, { body: wish });
  }

  transfers(): Promise<ITransfer[]> {
    return this._ask('GET', 'transfers');
  }

  copy(wish: ICopyWish): Promise<ITransfer> {
    return this._ask('POST', 'transfers', { body: wish });
  }

  /** Cancel a transfer, or start again what has not arrived, with the tokens of now. */
  changeTransfer(id: string, action: 'cancel' | 'retry'): Promise<void> {
    const where = `transfers/${encodeURIComponent(id)}`;
    return this._ask('PATCH', where, { body: { action } });
  }

  forgetTransfer(id: string): Promise<void> {
    return this._ask('DELETE', `transfers/${encodeURIComponent(id)}`);
  }

  uploads(): Promise<IUpload[]> {
    return this._ask('GET', 'uploads');
  }

  upload(wish: IUploadWish): Promise<IUpload> {
    return this._ask('POST', 'uploads', { body: wish });
  }

  resumeUpload(id: string): Promise<IUpload> {
    return this._ask('POST', `uploads/${id}`);
  }

  cancelUpload(id: string): Promise<void> {
    return this._ask('DELETE', `uploads/${id}`);
  }

  /** Remove what was brought to the server, and is not uploaded after all. */
  dropStaged(id: string): Promise<void> {
    return this._ask('DELETE', `staged/${id}`);
  }

  private _url(path: string, query: Record<string, string> = {}): string {
    const { baseUrl } = this._settings;
    const url = URLExt.join(baseUrl, 'farlab/datalake', path);
    return url + URLExt.objectToQueryString(query);
  }

  private async _ask<T>(
    method: string,
    path: string,
    options: {
      query?: Record<string, string>;
      body?: unknown;
      signal?: AbortSignal;
    } = {}
  ): Promise<T> {
    const init: RequestInit = { method };
    if (options.body !== undefined) {
      init.body = JSON.stringify(options.body);
    }
    if (options.signal) {
      init.signal = options.signal;
    }
    const url = this._url(path, options.query);
    const response = await ServerConnection.makeRequest(
      url,
      init,
      this._settings
    ).catch((reason: Error) => {
      throw new LakeFailure('no-server', reason.message);
    });
    if (!response.ok) {
      throw await failure(response);
    }
    if (response.status === 204) {
      return undefined as T;
    }
    return response.json().catch((reason: Error) => {
      throw new LakeFailure('server-error', reason.message);
    }) as Promise<T>;
  }
}

/** The failure that an answer tells of; only the API's own ones have a code. */
async function failure(response: Response): Promise<LakeFailure> {
  const told = (await response.json().catch(() => null)) as Partial<
    Record<'code' | 'message' | 'fix', unknown>
  > | null;
  const status = `${response.status} ${response.statusText}`;
  const message = typeof told?.message === 'string' ? told.message : status;
  if (typeof told?.code === 'string' && typeof told.fix === 'string') {
    return new LakeFailure(told.code, message, told.fix);
  }
  const code = response.status === 404 ? 'no-extension' : 'server-error';
  return new LakeFailure(code, message);
}
