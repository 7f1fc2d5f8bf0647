import { ISignal, Signal } from '@lumino/signaling';

import { clockSkew, secondsLeft, Warner } from './countdown.js';
import { Observable } from './observable.js';
import type { FarlabError, IFarlab, IPlace } from './tokens.js';

/** What is known: nothing yet, a place, that it is no Farlab site, or why nothing is. */
export type ServerState =
  | { name: 'loading' }
  | { name: 'place'; place: IPlace }
  | { name: 'nowhere' }
  | { name: 'failed'; error: FarlabError };

/** A warning that the server ends soon. */
export interface IWarning {
  /** Seconds until the end. */
  left: number;
  /** The end, on the browser's clock. */
  end: Date;
}

/** Seconds between two ticks after which the computer must have slept. */
const SLEPT = 90;

/** Where this server runs, and the time it has left. */
export class ServerModel extends Observable {
  /**
   * @param farlab answers where the server runs
   * @param clock the browser's clock, in epoch seconds
   */
  constructor(
    private readonly _farlab: Pick<IFarlab, 'server'>,
    private readonly _clock: () => number = () => Date.now() / 1000
  ) {
    super();
    this._lastTick = this._clock();
  }

  get state(): ServerState {
    return this._state;
  }

  /** The end on the browser's clock; null without a known deadline. */
  get end(): Date | null {
    const deadline = this._deadline;
    return deadline === null ? null : new Date((deadline - this._skew) * 1000);
  }

  /** The whole seconds left; null without a known deadline. */
  get left(): number | null {
    const deadline = this._deadline;
    return deadline === null
      ? null
      : secondsLeft(deadline, this._clock() + this._skew);
  }

  /** The latest warning; null until there is one. */
  get warning(): IWarning | null {
    return this._warning;
  }

  /** Emitted at each tick while a deadline is known. */
  get ticked(): ISignal<this, void> {
    return this._ticked;
  }

  /** Emitted when the user is to be warned. */
  get warned(): ISignal<this, IWarning> {
    return this._warned;
  }

  /** Ask the server where it runs; never rejects. */
  async refresh(): Promise<void> {
    const request = ++this._requests;
    if (this._state.name === 'failed') {
      this._setState({ name: 'loading' });
    }
    const sent = this._clock();
    try {
      const { now, ...place } = await this._farlab.server();
      // An older answer must not overwrite a newer one.
      if (request === this._requests) {
        this._skew = clockSkew(now, sent, this._clock());
        this._setState(
          place.site === null ? { name: 'nowhere' } : { name: 'place', place }
        );
        this._warnIfDue();
      }
    } catch (error) {
      // A known place stays true while the server can't be asked.
      if (request === this._requests && this._state.name !== 'place') {
        this._setState({ name: 'failed', error: error as FarlabError });
      }
    }
  }

  /** Say how many minutes before the end to warn. */
  warnAt(minutes: readonly number[]): void {
    this._warner = new Warner(minutes);
    this._warnIfDue();
  }

  /** Let the countdown go on; to be called about once a second. */
  tick(): void {
    const now = this._clock();
    const slept = now - this._lastTick > SLEPT;
    this._lastTick = now;
    if (slept) {
      // A computer that wakes up sets its clock.
      void this.refresh();
    }
    if (this._deadline !== null) {
      this._ticked.emit();
      this._warnIfDue();
    }
  }

  private get _deadline(): number | null {
    return this._state.name === 'place' ? this._state.place.deadline : null;
  }

  private _setState(state: ServerState): void {
    this._state = state;
    this.tellOfChange();
  }

  private _warnIfDue(): void {
    const { left, end } = this;
    if (left !== null && end !== null && this._warner.isDue(left)) {
      this._warning = { left, end };
      this.tellOfChange();
      this._warned.emit(this._warning);
    }
  }

  private _lastTick: number;
  private _requests = 0;
  private _skew = 0;
  private _state: ServerState = { name: 'loading' };
  private _ticked = new Signal<this, void>(this);
  private _warned = new Signal<this, IWarning>(this);
  private _warner = new Warner([]);
  private _warning: IWarning | null = null;
}
