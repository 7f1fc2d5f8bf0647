import { ISignal, Signal } from '@lumino/signaling';

import type { DataLakeClient } from './datalakeClient.js';
import type { ILake, ILogin, IProblem } from './datalakeTypes.js';
import { Observable } from './observable.js';

/** What is known of the lakes. */
export type LakesState =
  | { name: 'loading' }
  | { name: 'list'; lakes: readonly ILake[] }
  | { name: 'failed'; problem: IProblem };

/** The kinds of identity for which the user types something. */
const TYPED = ['userpass', 'keys'];

/** Whether the user logs in to a lake, and not the server for him. */
export function takesLogin(lake: ILake): boolean {
  return TYPED.includes(lake.identity ?? '');
}

/** The lakes of this server. What is typed to log in to them is passed on and kept nowhere. */
export class LakesModel extends Observable {
  constructor(
    private readonly _client: Pick<
      DataLakeClient,
      'lake' | 'lakes' | 'logIn' | 'logOut'
    >
  ) {
    super();
  }

  /** Emitted when more is known of what a lake can do. */
  get prepared(): ISignal<this, void> {
    return this._preparedSignal;
  }

  get state(): LakesState {
    return this._state;
  }

  get lakes(): readonly ILake[] {
    return this._state.name === 'list' ? this._state.lakes : [];
  }

  /** Ask for them. Never rejects. */
  async refresh(): Promise<void> {
    try {
      this._state = { name: 'list', lakes: await this._client.lakes() };
    } catch (reason) {
      this._state = { name: 'failed', problem: reason as IProblem };
    }
    this.tellOfChange();
  }

  /** Learn what a lake can do, where only it knows. Never rejects. */
  async prepare(lake: ILake): Promise<void> {
    if (lake.kind === 'rucio' || this._prepared.has(lake)) {
      return;
    }
    this._prepared.add(lake);
    try {
      lake.capabilities = (await this._client.lake(lake.name)).capabilities;
      this._preparedSignal.emit();
    } catch {
      this._prepared.delete(lake); // its listing says why
    }
  }

  /** Log in; rejects if the lake does not take it. */
  async logIn(lake: ILake, login: ILogin): Promise<void> {
    await this._client.logIn(lake.name, login);
    await this.refresh();
  }

  async logOut(lake: ILake): Promise<void> {
    await this._client.logOut(lake.name);
    await this.refresh();
  }

  private _preparedSignal = new Signal<this, void>(this);
  private _prepared = new WeakSet<ILake>();
  private _state: LakesState = { name: 'loading' };
}
