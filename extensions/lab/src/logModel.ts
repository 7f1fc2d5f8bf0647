import { Observable } from './observable.js';
import type { FarlabError, IFarlab, IWorkload } from './tokens.js';
import { hasEnded } from './workloadsModel.js';

/** How many of the last lines are shown. */
const LINES = 1000;

/** Sequences that colour text or move the cursor of a terminal. */
// eslint-disable-next-line no-control-regex
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))/g;

/** The end of one workload's log. */
export class LogModel extends Observable {
  constructor(
    private readonly _farlab: Pick<IFarlab, 'workload' | 'log'>,
    readonly uid: string
  ) {
    super();
  }

  /** What the job wrote; null before the first answer. */
  get text(): string | null {
    return this._text;
  }

  /** Why there is nothing newer; null when all went well. */
  get error(): FarlabError | null {
    return this._error;
  }

  /** The workload as it was when the log was read; null before the first answer. */
  get workload(): IWorkload | null {
    return this._workload;
  }

  /** Whether nothing can be added to the text any more. */
  get isComplete(): boolean {
    return this._isComplete;
  }

  /** Read the log anew. Rejects with the `FarlabError` that is then shown. */
  async refresh(): Promise<void> {
    try {
      // Asked first: what a job that has ended wrote is in the log that comes after.
      const workload = await this._farlab.workload(this.uid);
      const log = await this._farlab.log(this.uid, LINES);
      this._take(workload, log.replace(ESCAPES, ''));
    } catch (reason) {
      this._error = reason as FarlabError;
      this.tellOfChange();
      throw reason;
    }
  }

  private _take(workload: IWorkload, text: string): void {
    const ended = hasEnded(workload);
    // Of a job that was cleaned away the service only keeps the last lines.
    if (!ended || text.length > (this._text ?? '').length) {
      this._text = text;
    }
    this._text ??= '';
    this._workload = workload;
    this._isComplete = ended;
    this._error = null;
    this.tellOfChange();
  }

  private _error: FarlabError | null = null;
  private _isComplete = false;
  private _text: string | null = null;
  private _workload: IWorkload | null = null;
}
