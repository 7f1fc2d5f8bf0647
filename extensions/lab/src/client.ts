import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { FarlabError, IFarlab, IServerAnswer } from './tokens.js';

/** Calls the server extension over HTTP. */
export class FarlabClient implements IFarlab {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  server(): Promise<IServerAnswer> {
    return this._get<IServerAnswer>('server');
  }

  private async _get<T>(endPoint: string): Promise<T> {
    const url = URLExt.join(this._settings.baseUrl, 'farlab/api', endPoint);
    const response = await ServerConnection.makeRequest(
      url,
      {},
      this._settings
    ).catch((reason: Error) => {
      throw new FarlabError('unreachable', reason.message);
    });
    if (response.status === 404) {
      throw new FarlabError('missing', response.statusText);
    }
    if (!response.ok) {
      throw new FarlabError('refused', await errorText(response));
    }
    return response.json().catch((reason: Error) => {
      throw new FarlabError('refused', reason.message);
    }) as Promise<T>;
  }
}

/** The message of an error answer, or else its status line. */
async function errorText(response: Response): Promise<string> {
  const status = `${response.status} ${response.statusText}`;
  const body = (await response.json().catch(() => null)) as {
    message?: unknown;
  } | null;
  return typeof body?.message === 'string' ? body.message : status;
}
