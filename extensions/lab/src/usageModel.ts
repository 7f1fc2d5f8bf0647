import { Observable } from './observable.js';
import type { FarlabError } from './tokens.js';
import type { UsageClient } from './usageClient.js';
import { ISpan, SpanName, spanOf, stepOf } from './usageSpans.js';
import type {
  IBudget,
  IHealth,
  IOverview,
  IReadable,
  IRunning,
  IUsage,
  IUsageMessage,
  IUsageRecord,
  Quantity,
  Whose
} from './usageTypes.js';

/** What the screen shows besides the history. */
export interface IUsageShown {
  span: ISpan;
  usage: IUsage;
  running: IRunning[];
  budgets: IBudget[];
  /** Of a group or of all, not of oneself. */
  overview: IOverview | null;
  /** Of all alone. */
  health: IHealth | null;
}

/** What is known: nothing yet, figures that may be old, or why there are none. */
export type UsageState =
  | { name: 'loading' }
  | { name: 'shown'; shown: IUsageShown; error: FarlabError | null }
  | { name: 'failed'; error: FarlabError };

/** The records of the span, as far as they were asked for. */
export interface IHistory {
  records: IUsageRecord[];
  /** Whether there are more. */
  hasMore: boolean;
  isLoading: boolean;
  error: FarlabError | null;
}

const NO_HISTORY: IHistory = {
  records: [],
  hasMore: false,
  isLoading: false,
  error: null
};

/** What was used in the span that the user chose. */
export class UsageModel extends Observable {
  /**
   * @param client asks the service
   * @param clock the browser's clock, in epoch seconds
   */
  constructor(
    private readonly _client: Omit<UsageClient, '_http'>,
    private readonly _clock: () => number = () => Date.now() / 1000
  ) {
    super();
  }

  get state(): UsageState {
    return this._state;
  }

  get history(): IHistory {
    return this._history;
  }

  get spanName(): SpanName {
    return this._spanName;
  }

  get quantity(): Quantity {
    return this._quantity;
  }

  get colour(): 'site' | 'profile' {
    return this._colour;
  }

  /** Whose usage can be chosen. */
  get choices(): Whose[] {
    const groups = this._readable.groups.map(
      group => ({ name: 'group', group }) as const
    );
    const all = this._readable.all ? [{ name: 'all' } as const] : [];
    return [{ name: 'mine' }, ...groups, ...all];
  }

  get whose(): Whose {
    return this._whose;
  }

  get span(): ISpan {
    return spanOf(this._spanName, this._clock());
  }

  /** Ask whose usage the user may read besides their own. Never rejects: nobody else's, then. */
  async askWhose(): Promise<void> {
    const nobody: IReadable = { groups: [], all: false };
    this._readable = await this._client.readable().catch(() => nobody);
    this.tellOfChange();
  }

  /** Show another span. Never rejects: the state tells of failures. */
  async showSpan(name: SpanName): Promise<void> {
    this._spanName = name;
    await this._restart();
  }

  /** Show another's usage, as who may read it. Never rejects. */
  async showWhose(whose: Whose): Promise<void> {
    this._whose = whose;
    await this._restart();
  }

  /** Draw another quantity. */
  showQuantity(quantity: Quantity): void {
    this._quantity = quantity;
    this.tellOfChange();
  }

  /** Colour the bars by another field. */
  showColour(colour: 'site' | 'profile'): void {
    this._colour = colour;
    this.tellOfChange();
  }

  /** Ask for the figures anew. Rejects with the `FarlabError` that the state then shows. */
  async refresh(): Promise<void> {
    const request = ++this._requests;
    const span = this.span;
    try {
      const shown = await this._ask(span, this._whose);
      // An older answer must not overwrite a newer one.
      if (request === this._requests) {
        this._state = { name: 'shown', shown, error: null };
        this.tellOfChange();
      }
    } catch (reason) {
      const error = reason as FarlabError;
      if (request === this._requests) {
        this._state =
          this._state.name === 'shown'
            ? { ...this._state, error }
            : { name: 'failed', error };
        this.tellOfChange();
      }
      throw error;
    }
  }

  /** Read the next page of the history. Never rejects: the history tells of failures. */
  async readMore(): Promise<void> {
    if (this._history.isLoading) {
      return;
    }
    const reading = ++this._reading;
    this._setHistory({ isLoading: true, error: null });
    try {
      const { records, next } = await this._client.records(
        this.span,
        this._whose,
        this._cursor
      );
      if (reading === this._reading) {
        this._cursor = next;
        this._setHistory({
          records: [...this._history.records, ...records],
          hasMore: next !== null,
          isLoading: false
        });
      }
    } catch (reason) {
      if (reading === this._reading) {
        const error = reason as FarlabError;
        this._setHistory({ isLoading: false, error });
      }
    }
  }

  /** Read the history from its newest record again. Never rejects. */
  async rereadHistory(): Promise<void> {
    this._reading += 1; // what is on its way belongs to another list
    this._cursor = null;
    this._history = NO_HISTORY;
    await this.readMore();
  }

  /** What is published of a workload. Rejects with a `FarlabError`. */
  messages(uid: string): Promise<IUsageMessage[]> {
    return this._client.messages(uid);
  }

  /** The address of the span's records, as a file. */
  exportUrl(format: 'csv' | 'parquet'): string {
    return this._client.exportUrl(this.span, this._whose, format);
  }

  private async _ask(span: ISpan, whose: Whose): Promise<IUsageShown> {
    const isMine = whose.name === 'mine';
    const [usage, running, budgets, overview, health] = await Promise.all([
      this._client.usage(span, stepOf(span), whose),
      isMine ? this._client.now() : [],
      isMine ? this._client.budgets() : [],
      isMine ? null : this._client.overview(span, whose),
      whose.name === 'all' ? this._client.health() : null
    ]);
    return { span, usage, running, budgets, overview, health };
  }

  private async _restart(): Promise<void> {
    this._state = { name: 'loading' };
    this.tellOfChange();
    await Promise.all([
      this.refresh().catch(() => undefined),
      this.rereadHistory()
    ]);
  }

  private _setHistory(change: Partial<IHistory>): void {
    this._history = { ...this._history, ...change };
    this.tellOfChange();
  }

  private _colour: 'site' | 'profile' = 'site';
  private _cursor: string | null = null;
  private _history = NO_HISTORY;
  private _quantity: Quantity = 'core_hours';
  private _readable: IReadable = { groups: [], all: false };
  private _reading = 0;
  private _requests = 0;
  private _spanName: SpanName = 'month';
  private _state: UsageState = { name: 'loading' };
  private _whose: Whose = { name: 'mine' };
}
