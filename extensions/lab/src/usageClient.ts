import type { FarlabHttp } from './http.js';
import type { ISpan } from './usageSpans.js';
import type {
  IBudget,
  IHealth,
  IOverview,
  IReadable,
  IRunning,
  IUsage,
  IUsageMessage,
  IUsageRecords,
  Whose
} from './usageTypes.js';

/** How many records a page of the history has. */
const PAGE = 50;

/** Asks the hub service what was used. Each call rejects with a `FarlabError`. */
export class UsageClient {
  constructor(private readonly _http: FarlabHttp) {}

  /** Sums by step, site and profile. */
  usage(span: ISpan, step: 'day' | 'month', whose: Whose): Promise<IUsage> {
    const by = `${step},site,profile`;
    return this._http.get(path('usage', span, whose, { by }));
  }

  /** What lives now. */
  now(): Promise<IRunning[]> {
    return this._http.get('usage/now');
  }

  /** How the user's budgets stand. */
  budgets(): Promise<IBudget[]> {
    return this._http.get('usage/budgets');
  }

  /** A page of what ended, the newest first. */
  records(
    span: ISpan,
    whose: Whose,
    cursor: string | null
  ): Promise<IUsageRecords> {
    const more = { limit: String(PAGE), ...(cursor && { cursor }) };
    return this._http.get(path('usage/records', span, whose, more));
  }

  /** What those who run a hub or a group look at. */
  overview(span: ISpan, whose: Whose): Promise<IOverview> {
    return this._http.get(path('usage/overview', span, whose, {}));
  }

  /** How complete the ledger is; for administrators. */
  health(): Promise<IHealth> {
    return this._http.get('usage/health');
  }

  /** Whose usage the user may read. */
  readable(): Promise<IReadable> {
    return this._http.get('usage/readable');
  }

  /** What is published of a workload, to each receiver. */
  messages(uid: string): Promise<IUsageMessage[]> {
    return this._http.get(`usage/records/${encodeURIComponent(uid)}/apel`);
  }

  /** The address of all records of a span, as a file. */
  exportUrl(span: ISpan, whose: Whose, format: 'csv' | 'parquet'): string {
    return this._http.url(path('usage/export', span, whose, { format }));
  }
}

function path(
  name: string,
  { since, until }: ISpan,
  whose: Whose,
  more: Record<string, string>
): string {
  const query = new URLSearchParams({
    since,
    until,
    ...(whose.name === 'group' && { group: whose.group }),
    ...(whose.name === 'all' && { all: 'true' }),
    ...more
  });
  return `${name}?${query.toString()}`;
}
