import type { DataLakeClient } from './datalakeClient.js';
import type { IProblem, ITransfer, IUpload } from './datalakeTypes.js';
import { Observable } from './observable.js';

/** What is on its way between lakes, and from this machine into them. */
export class TransfersModel extends Observable {
  constructor(
    private readonly _client: Pick<
      DataLakeClient,
      | 'cancelUpload'
      | 'changeTransfer'
      | 'forgetTransfer'
      | 'resumeUpload'
      | 'transfers'
      | 'uploads'
    >
  ) {
    super();
  }

  /** Null: nothing is known yet. */
  get transfers(): readonly ITransfer[] | null {
    return this._transfers;
  }

  get uploads(): readonly IUpload[] {
    return this._uploads;
  }

  /** Why the lists are old, or what was not done. */
  get problem(): IProblem | null {
    return this._problem;
  }

  /** Read the lists. Rejects with the failure that is then shown. */
  async refresh(): Promise<void> {
    const request = ++this._requests;
    try {
      const [transfers, uploads] = await Promise.all([
        this._client.transfers(),
        this._client.uploads()
      ]);
      if (request === this._requests) {
        [this._transfers, this._uploads] = [transfers, uploads];
        this._problem = null;
        this.tellOfChange();
      }
    } catch (reason) {
      this._fail(reason);
      throw reason;
    }
  }

  /** One has just begun: it is shown before the lists are read, however fast it ends. */
  begin(upload: IUpload): void {
    this._uploads = [...this._uploads, upload];
    this.tellOfChange();
  }

  /** Do what a button of a transfer says. Never rejects. */
  async act(id: string, action: ITransfer['actions'][number]): Promise<void> {
    await this._do(
      action === 'forget'
        ? this._client.forgetTransfer(id)
        : this._client.changeTransfer(id, action)
    );
  }

  /** Go on with an upload that was cut. Never rejects. */
  async resumeUpload(id: string): Promise<void> {
    await this._do(this._client.resumeUpload(id));
  }

  /** Stop an upload, or take it from the list. Never rejects. */
  async cancelUpload(id: string): Promise<void> {
    await this._do(this._client.cancelUpload(id));
  }

  private async _do(work: Promise<unknown>): Promise<void> {
    try {
      await work;
      await this.refresh();
    } catch (reason) {
      this._fail(reason);
    }
  }

  private _fail(reason: unknown): void {
    this._problem = reason as IProblem;
    this.tellOfChange();
  }

  private _problem: IProblem | null = null;
  private _requests = 0;
  private _transfers: readonly ITransfer[] | null = null;
  private _uploads: readonly IUpload[] = [];
}
