import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';

import type { UsageModel } from '../usageModel.js';
import { statusText } from '../usageText.js';

/** This month's usage in the status bar; a click opens the whole screen. */
export class UsageStatus extends ReactWidget {
  constructor(
    private readonly _model: UsageModel,
    private readonly _trans: TranslationBundle,
    private readonly _show: () => void
  ) {
    super();
    this.addClass('jp-mod-highlighted');
  }

  protected override render(): JSX.Element {
    return (
      <UseSignal signal={this._model.changed}>{() => this._item()}</UseSignal>
    );
  }

  private _item(): JSX.Element | null {
    const { state } = this._model;
    if (state.name !== 'shown') {
      return null;
    }
    const { budgets, usage } = state.shown;
    const isShort = budgets.some(budget => budget.state !== 'ok');
    return (
      <button
        className="jp-farlab-UsageStatus"
        data-short={isShort || undefined}
        title={this._trans.__('This month at sites; click for more')}
        onClick={this._show}
      >
        {statusText(usage.totals, budgets, this._trans)}
      </button>
    );
  }
}
