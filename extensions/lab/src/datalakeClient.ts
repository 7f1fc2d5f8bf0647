import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
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
  IUpload
} from './datalakeTypes.js';
import { LakeFailure } from './datalakeTypes.js';

/** What a new upload is made of. */
export interface IUploadWish {
  lake: string;
  /** A file or folder on the server. */
  source: string;
  dataset: string;
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
      cursor,
      limit: String(limit)
    };
    return this._ask('GET', `lakes/${lake}/search`, { query, signal });
  }

  create(lake: string, path: string, kind: string): Promise<IEntry> {
    return this._ask('POST', `lakes/${lake}/entries`, { body: { path, kind } });
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

  /** Have an entry brought to this server's site for so many days. */
  makeAvailable(lake: string, path: string, days: number): Promise<IRule> {
    return this._ask('POST', `lakes/${lake}/rules`, { body: { path, days } });
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

  transfers(): Promise<ITransfer[]> {
    return this._ask('GET', 'transfers');
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
