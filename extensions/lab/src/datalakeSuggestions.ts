import type { DataLakeClient } from './datalakeClient.js';
import { parseQuery } from './datalakeSearch.js';
import type { ILake } from './datalakeTypes.js';
import { Observable } from './observable.js';

/** How many suggestions there are at once. */
const COUNT = 10;
/** Scopes of a lake that are suggested: all that a page can have. */
const SCOPES = 1000;
/** Milliseconds without a key after which one asks. */
const CALM = 200;

/** What can complete the words that are being typed: scopes first, then names in one. */
export class SuggestionsModel extends Observable {
  constructor(
    private readonly _client: Pick<DataLakeClient, 'entries' | 'search'>,
    private readonly _calm: number = CALM
  ) {
    super();
  }

  get list(): readonly string[] {
    return this._list;
  }

  /** This is typed now, to be looked for in a lake. */
  look(lake: ILake, typed: string): void {
    clearTimeout(this._timer);
    this._request.abort();
    this._request = new AbortController();
    const { signal } = this._request;
    this._timer = setTimeout(
      () => void this._ask(lake, typed, signal),
      this._calm
    );
  }

  override dispose(): void {
    clearTimeout(this._timer);
    this._request.abort();
    super.dispose();
  }

  private async _ask(
    lake: ILake,
    typed: string,
    signal: AbortSignal
  ): Promise<void> {
    // A suggestion that fails is none: the search itself tells what is wrong.
    const found = await this._find(lake, typed, signal).catch(() => []);
    if (!signal.aborted) {
      this._list = found.filter(one => one !== typed).slice(0, COUNT);
      this.tellOfChange();
    }
  }

  private async _find(
    lake: ILake,
    typed: string,
    signal: AbortSignal
  ): Promise<string[]> {
    if (lake.kind !== 'rucio' || typed.trim() === '') {
      return [];
    }
    if (!typed.includes(':')) {
      const scopes = await this._client.entries(
        lake.name,
        '',
        '',
        SCOPES,
        signal
      );
      return scopes.entries
        .filter(({ name }) => name.startsWith(typed.trim()))
        .map(({ name }) => `${name}:`);
    }
    const query = parseQuery(typed, '');
    const page = await this._client.search(lake.name, query, '', COUNT, signal);
    return page.entries.map(entry => entry.path);
  }

  private _list: readonly string[] = [];
  private _request = new AbortController();
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
