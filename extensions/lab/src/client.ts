import { content, FarlabHttp } from './http.js';
import type { IIdentity, ISiteIdentity } from './identityTypes.js';
import type {
  IFarlab,
  IServerAnswer,
  IWorkload,
  IWorkloadsAnswer
} from './tokens.js';

/** How many of the newest workloads are shown when they have ended. */
const NEWEST = 20;

/** Calls the server extension over HTTP. */
export class FarlabClient implements IFarlab {
  constructor(private readonly _http: FarlabHttp) {}

  async server(): Promise<IServerAnswer> {
    return this._http.get('server');
  }

  async workloads(): Promise<IWorkloadsAnswer> {
    // Two questions: a live one may be older than many that have ended.
    const [live, newest] = await Promise.all([
      this._http.call('workloads'),
      this._http.call(`workloads?state=all&limit=${NEWEST}`)
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
    return this._http.get(workloadPath(uid));
  }

  async log(uid: string, lines: number): Promise<string> {
    const path = `${workloadPath(uid)}/logs?tail=${lines}`;
    return (await content<{ log: string }>(await this._http.call(path))).log;
  }

  async cancel(uid: string): Promise<IWorkload> {
    const init = { method: 'DELETE' };
    return content<IWorkload>(await this._http.call(workloadPath(uid), init));
  }

  async identity(): Promise<IIdentity> {
    return this._http.get('identity');
  }

  async checkIdentity(site: string): Promise<ISiteIdentity> {
    const path = `identity/${encodeURIComponent(site)}/check`;
    const response = await this._http.call(path, { method: 'POST' });
    return content<ISiteIdentity>(response);
  }
}

function workloadPath(uid: string): string {
  return `workloads/${encodeURIComponent(uid)}`;
}
