import { ISignal, Signal } from '@lumino/signaling';

import { clockSkew, secondsLeft } from './countdown.js';
import { Observable } from './observable.js';
import type {
  FarlabError,
  IFarlab,
  IWorkload,
  WorkloadPhase
} from './tokens.js';

/** What is known: nothing yet, a list that may be old, or why there is none. */
export type WorkloadsState =
  | { name: 'loading' }
  | { name: 'list'; workloads: IWorkload[]; error: FarlabError | null }
  | { name: 'failed'; error: FarlabError };

const ENDED: readonly WorkloadPhase[] = ['finished', 'failed', 'cancelled'];

/** Whether nothing more will come of a workload. */
export function hasEnded(workload: IWorkload): boolean {
  return ENDED.includes(workload.state);
}

/** Whether it can be cancelled here: a notebook server is ended where it was started. */
export function mayCancel(workload: IWorkload): boolean {
  return workload.kind !== 'server' && !hasEnded(workload);
}

/** Whether a notebook can attach to it. */
export function mayAttach(workload: IWorkload): boolean {
  return mayCancel(workload) && workload.name !== '';
}

/** The user's workloads, as the service last told of them. */
export class WorkloadsModel extends Observable {
  /**
   * @param farlab lists and cancels workloads
   * @param clock the browser's clock, in epoch seconds
   */
  constructor(
    private readonly _farlab: Pick<IFarlab, 'workloads' | 'cancel'>,
    private readonly _clock: () => number = () => Date.now() / 1000
  ) {
    super();
  }

  get state(): WorkloadsState {
    return this._state;
  }

  /** The workloads: live ones first, each part with the newest first. */
  get workloads(): IWorkload[] {
    return this._state.name === 'list' ? this._state.workloads : [];
  }

  /** Those whose state changed most recently, for people who cannot see it. */
  get news(): IWorkload[] {
    return this._news;
  }

  /** Emitted at each tick. */
  get ticked(): ISignal<this, void> {
    return this._ticked;
  }

  /** The workload of that id, if it is listed. */
  find(uid: string): IWorkload | undefined {
    return this.workloads.find(workload => workload.uid === uid);
  }

  /** The whole seconds that a workload has left; null when it has no known end. */
  left(workload: IWorkload): number | null {
    return workload.deadline === null || hasEnded(workload)
      ? null
      : secondsLeft(workload.deadline, this._clock() + this._skew);
  }

  /** Whether it is being cancelled from here. */
  isCancelling(workload: IWorkload): boolean {
    return this._cancelling.has(workload.uid) && !hasEnded(workload);
  }

  /** List the workloads anew. Rejects with the `FarlabError` that the state then shows. */
  async refresh(): Promise<void> {
    const request = ++this._requests;
    const sent = this._clock();
    try {
      const { workloads, now } = await this._farlab.workloads();
      // An older answer must not overwrite a newer one.
      if (request === this._requests) {
        this._skew = now === null ? 0 : clockSkew(now, sent, this._clock());
        this._show(workloads.sort(order));
      }
    } catch (reason) {
      const error = reason as FarlabError;
      if (request === this._requests) {
        // What was known is still the best there is.
        this._state =
          this._state.name === 'list'
            ? { ...this._state, error }
            : { name: 'failed', error };
        this.tellOfChange();
      }
      throw error;
    }
  }

  /** Cancel a workload. Rejects with a `FarlabError`. */
  async cancel(uid: string): Promise<void> {
    this._cancelling.add(uid);
    this.tellOfChange();
    try {
      const told = await this._farlab.cancel(uid);
      this._requests += 1; // an answer on its way may be older than this one
      this._show(
        this.workloads
          .map(known => (known.uid === uid ? told : known))
          .sort(order)
      );
    } finally {
      this._cancelling.delete(uid);
      this.tellOfChange();
    }
  }

  /** Let the time pass; to be called about once a second. */
  tick(): void {
    this._ticked.emit();
  }

  private _show(workloads: IWorkload[]): void {
    const isFirst = this._state.name !== 'list';
    const news = workloads.filter(
      workload => this.find(workload.uid)?.state !== workload.state
    );
    if (!isFirst && news.length > 0) {
      this._news = news;
    }
    this._state = { name: 'list', workloads, error: null };
    this.tellOfChange();
  }

  private _cancelling = new Set<string>();
  private _news: IWorkload[] = [];
  private _requests = 0;
  private _skew = 0;
  private _state: WorkloadsState = { name: 'loading' };
  private _ticked = new Signal<this, void>(this);
}

/** Live ones before ended ones, newer ones before older ones. */
function order(one: IWorkload, other: IWorkload): number {
  return (
    Number(hasEnded(one)) - Number(hasEnded(other)) ||
    other.created - one.created
  );
}
