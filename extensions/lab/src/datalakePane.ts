import { Observable } from './observable.js';

/** What the lower part of the panel shows. */
export type PaneTab = 'details' | 'preview' | 'transfers';

/** Whether the lower part of the panel is there, and what it shows. */
export class PaneModel extends Observable {
  /** Null: it is not there. */
  get tab(): PaneTab | null {
    return this._tab;
  }

  show(tab: PaneTab | null): void {
    if (tab !== this._tab) {
      this._tab = tab;
      this.tellOfChange();
    }
  }

  private _tab: PaneTab | null = null;
}
