import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { FarlabError } from './tokens.js';

/** Calls Farlab's API in the server extension. Each call rejects with a `FarlabError`. */
export class FarlabHttp {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  /** The address of a path of the API. */
  url(path: string): string {
    return URLExt.join(this._settings.baseUrl, 'farlab/api', path);
  }

  /** Call it. */
  async call(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await ServerConnection.makeRequest(
      this.url(path),
      init,
      this._settings
    ).catch((reason: Error) => {
      throw new FarlabError('unreachable', reason.message);
    });
    if (!response.ok) {
      throw await failure(response);
    }
    return response;
  }

  /** Return the content of what a path answers. */
  async get<T>(path: string): Promise<T> {
    return content<T>(await this.call(path));
  }
}

/** The content of an answer. */
export function content<T>(response: Response): Promise<T> {
  return response.json().catch((reason: Error) => {
    throw new FarlabError('refused', reason.message);
  }) as Promise<T>;
}

/** The error that an answer tells of; only Farlab's own errors have a code. */
async function failure(response: Response): Promise<FarlabError> {
  const status = `${response.status} ${response.statusText}`;
  const body = (await response.json().catch(() => null)) as {
    code?: unknown;
    message?: unknown;
  } | null;
  const message = typeof body?.message === 'string' ? body.message : status;
  if (response.status === 404 && typeof body?.code !== 'string') {
    return new FarlabError('missing', response.statusText);
  }
  const unconfigured = body?.code === 'not-configured';
  return new FarlabError(unconfigured ? 'unconfigured' : 'refused', message);
}
