import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';

import { ServerView } from '../components/ServerView.js';
import { farlabIcon } from '../icons.js';
import type { ServerModel } from '../model.js';

/** The sidebar that shows where this server runs. */
export class ServerPanel extends ReactWidget {
  constructor(
    private readonly _model: ServerModel,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.id = 'farlab-server';
    this.addClass('jp-farlab-ServerPanel');
    this.title.icon = farlabIcon;
    this.title.caption = this._trans.__('Farlab: where this server runs');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this._trans.__('Farlab'));
    this.node.tabIndex = -1;
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    this.node.focus();
  }

  protected override render(): JSX.Element {
    return (
      <>
        <h2 className="jp-farlab-ServerPanel-title">
          {this._trans.__('Farlab')}
        </h2>
        <ServerView model={this._model} trans={this._trans} />
      </>
    );
  }
}
