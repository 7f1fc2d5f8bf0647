import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import {
  FarlabError,
  IFarlab,
  IServerAnswer,
  IWorkload,
  IWorkloadsAnswer
} from './tokens.js';

/** How many of the newest workloads are shown when they have ended. */
const NEWEST = 20;

/** Calls the server extension over HTTP. */
export class FarlabClient implements IFarlab {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  async server(): Promise<IServerAnswer> {
    return content<IServerAnswer>(await this._call('server'));
  }

  async workloads(): Promise<IWorkloadsAnswer> {
    // Two questions: a live one may be older than many that have ended.
    const [live, newest] = await Promise.all([
      this._call('workloads'),
      this._call(`workloads?state=all&limit=${NEWEST}`)
    ]);
    const now = Date.parse(live.headers.get('Date') ?? '') / 1000;
    const found = new Map<string, IWorkload>();
    for (const response of [live, newest]) {
      for (const workload of await content<IWorkload[]>(response)) {
        found.set(workload.uid, workload);
      }
    }
    return {
      workloads: [...found.values()],
      now: Number.isNaN(now) ? null : now
    };
  }

  async workload(uid: string): Promise<IWorkload> {
    return content<IWorkload>(await this._call(workloadPath(uid)));
  }

  async log(uid: string, lines: number): Promise<string> {
    const path = `${workloadPath(uid)}/logs?tail=${lines}`;
    return (await content<{ log: string }>(await this._call(path))).log;
  }

  async cancel(uid: string): Promise<IWorkload> {
    const init = { method: 'DELETE' };
    return content<IWorkload>(await this._call(workloadPath(uid), init));
  }

  private async _call(path: string, init: RequestInit = {}): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, 'farlab/api', path);
    const response = await ServerConnection.makeRequest(
      url,
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
}

function workloadPath(uid: string): string {
  return `workloads/${encodeURIComponent(uid)}`;
}

/** The content of an answer. */
function content<T>(response: Response): Promise<T> {
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
