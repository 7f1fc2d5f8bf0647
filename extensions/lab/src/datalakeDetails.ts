import type { DataLakeClient } from './datalakeClient.js';
import type {
  IDetails,
  IEntry,
  ILake,
  IPreview,
  IProblem,
  IReplica,
  IRule,
  IShare,
  IWhere
} from './datalakeTypes.js';
import { can, isDid } from './datalakeTypes.js';
import { Observable } from './observable.js';

/** Something that is asked for by itself: nothing yet, an answer, or why there is none. */
export type Asked<T> =
  | { name: 'loading' }
  | { name: 'told'; value: T }
  | { name: 'failed'; problem: IProblem };

/** What is asked about. */
export interface ISubject {
  lake: ILake;
  entry: IEntry;
}

const LOADING = { name: 'loading' } as const;
/** Milliseconds for which an entry is selected before one asks about it. */
const CALM = 150;

/** Everything about the entry that is selected. Each part comes, or fails, by itself. */
export class DetailsModel extends Observable {
  constructor(
    private readonly _client: Pick<
      DataLakeClient,
      'details' | 'preview' | 'replicas' | 'rule' | 'rules' | 'shares' | 'where'
    >,
    private readonly _calm: number = CALM
  ) {
    super();
  }

  get subject(): ISubject | null {
    return this._subject;
  }

  /** Null: a lake knows no more of a scope than its name. */
  get details(): Asked<IDetails> | null {
    return this._details;
  }

  /** Where a file is; null for what has no replicas. */
  get replicas(): Asked<IReplica[]> | null {
    return this._replicas;
  }

  /** Where a dataset is; null for what is none. */
  get shares(): Asked<IShare[]> | null {
    return this._shares;
  }

  get rules(): Asked<IRule[]> | null {
    return this._rules;
  }

  /** Where a STAC item's assets are; null for what is none. */
  get where(): Asked<IWhere> | null {
    return this._where;
  }

  /** Null: nobody wanted to see it. */
  get preview(): Asked<IPreview> | null {
    return this._preview;
  }

  /** Its path on this machine, as far as it is known. */
  get here(): string | null {
    return this._details?.name === 'told' ? this._details.value.here : null;
  }

  /** Whether a rule is on its way: somebody should ask again in a while. */
  get isMoving(): boolean {
    return (
      this._rules?.name === 'told' &&
      this._rules.value.some(rule => rule.state !== 'ok')
    );
  }

  /** Whether it is not on this machine, as far as is known: others may bring it. */
  get isElsewhere(): boolean {
    const subject = this._subject;
    if (!subject?.lake.rse || this._rules?.name !== 'told') {
      return false;
    }
    if (this._replicas) {
      return this._details?.name === 'told' && this.here === null;
    }
    return (
      this._shares?.name === 'told' &&
      !this._shares.value.some(
        ({ files, files_there, rse }) =>
          rse === subject.lake.rse && files === files_there
      )
    );
  }

  select(subject: ISubject | null): void {
    if (
      subject?.lake === this._subject?.lake &&
      subject?.entry === this._subject?.entry
    ) {
      return;
    }
    this._clear(subject);
    if (subject) {
      this._timer = setTimeout(() => void this.refresh(), this._calm);
    }
    this.tellOfChange();
  }

  /** Ask for all of it anew; what is known stays until then. Never rejects. */
  async refresh(): Promise<void> {
    const subject = this._subject;
    if (!subject) {
      return;
    }
    clearTimeout(this._timer);
    this._request.abort();
    this._request = new AbortController();
    this._hasBegun = true;
    const { lake, entry } = subject;
    const { signal } = this._request;
    const parts: Promise<void>[] = [];
    if (this._details) {
      parts.push(
        this._ask(
          this._client.details(lake.name, entry.path, signal),
          signal,
          told => (this._details = told)
        )
      );
    }
    if (isDid(lake, entry)) {
      parts.push(this._refreshDid(subject, signal));
    }
    if (this._where) {
      parts.push(
        this._ask(
          this._client.where(lake.name, entry.path, signal),
          signal,
          told => (this._where = told)
        )
      );
    }
    if (this._preview) {
      parts.push(this._askPreview(subject, signal));
    }
    await Promise.all(parts);
  }

  /** Ask how far the rules are. Never rejects. */
  async refreshRules(): Promise<void> {
    const subject = this._subject;
    const { signal } = this._request;
    if (subject && isDid(subject.lake, subject.entry)) {
      const wasMoving = this.isMoving;
      await this._askRules(subject, signal);
      if (wasMoving && !this.isMoving && !signal.aborted) {
        await this.refresh(); // it may be here now
      }
    }
  }

  /** Ask for a preview, once unless it is to be read anew. Never rejects. */
  async showPreview(anew = false): Promise<void> {
    const subject = this._subject;
    if (!subject || (this._preview && !anew)) {
      return;
    }
    this._preview ??= LOADING;
    this.tellOfChange();
    if (this._hasBegun) {
      await this._askPreview(subject, this._request.signal);
    }
  }

  override dispose(): void {
    this._clear(null);
    super.dispose();
  }

  private _askPreview(
    { lake, entry }: ISubject,
    signal: AbortSignal
  ): Promise<void> {
    return this._ask(
      this._client.preview(lake.name, entry.path, signal),
      signal,
      told => (this._preview = told)
    );
  }

  private async _refreshDid(
    subject: ISubject,
    signal: AbortSignal
  ): Promise<void> {
    const { lake, entry } = subject;
    await Promise.all([
      this._askRules(subject, signal),
      entry.kind === 'file'
        ? this._ask(
            this._client
              .replicas(lake.name, [entry.path], signal)
              .then(found => found[entry.path] ?? []),
            signal,
            told => (this._replicas = told)
          )
        : this._ask(
            this._client.shares(lake.name, entry.path, signal),
            signal,
            told => (this._shares = told)
          )
    ]);
  }

  private _askRules(
    { lake, entry }: ISubject,
    signal: AbortSignal
  ): Promise<void> {
    return this._ask(
      this._withReasons(lake.name, entry.path, signal),
      signal,
      told => (this._rules = told)
    );
  }

  /** The rules, each that is stuck with the reasons. */
  private async _withReasons(
    lake: string,
    path: string,
    signal: AbortSignal
  ): Promise<IRule[]> {
    const rules = await this._client.rules(lake, path, signal);
    return Promise.all(
      rules.map(rule =>
        rule.state === 'stuck'
          ? this._client.rule(lake, rule.id, signal).catch(() => rule)
          : Promise.resolve(rule)
      )
    );
  }

  private async _ask<T>(
    question: Promise<T>,
    signal: AbortSignal,
    keep: (told: Asked<T>) => void
  ): Promise<void> {
    const told = await question.then(
      value => ({ name: 'told', value }) as const,
      (problem: IProblem) => ({ name: 'failed', problem }) as const
    );
    if (!signal.aborted) {
      keep(told);
      this.tellOfChange();
    }
  }

  private _clear(subject: ISubject | null): void {
    clearTimeout(this._timer);
    this._request.abort();
    this._request = new AbortController();
    this._hasBegun = false;
    this._subject = subject;
    // A storage itself is the folder without a path: nothing is known of it.
    const isPlace =
      subject?.entry.kind === 'scope' || subject?.entry.path === '';
    this._details = isPlace ? null : LOADING;
    this._preview = null;
    const did = subject !== null && isDid(subject.lake, subject.entry);
    this._where = subject?.entry.kind === 'item' ? LOADING : null;
    const isFile = subject?.entry.kind === 'file';
    const has = did && can(subject.lake, 'replicas');
    this._replicas = has && isFile ? LOADING : null;
    this._shares = has && !isFile ? LOADING : null;
    this._rules = did && can(subject.lake, 'rules') ? LOADING : null;
  }

  private _details: Asked<IDetails> | null = LOADING;
  /** Whether it has been asked about. */
  private _hasBegun = false;
  private _preview: Asked<IPreview> | null = null;
  private _replicas: Asked<IReplica[]> | null = null;
  private _request = new AbortController();
  private _rules: Asked<IRule[]> | null = null;
  private _shares: Asked<IShare[]> | null = null;
  private _subject: ISubject | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _where: Asked<IWhere> | null = null;
}
