import { ReactWidget } from '@jupyterlab/ui-components';
import { Poll } from '@lumino/polling';
import type { Message } from '@lumino/messaging';

import { ILogViewProps, LogView } from '../components/LogView.js';
import { farlabIcon } from '../icons.js';
import { pollWhile } from '../polls.js';

/** Milliseconds between two looks at a log. */
const INTERVAL = 2000;

/**
 * A log that is read on as long as it is seen and its job runs. It asks again and again: a
 * stream for each open log would use up the few connections that a browser has for a server.
 */
export class LogPanel extends ReactWidget {
  constructor(
    private readonly _props: Omit<ILogViewProps, 'refresh'>,
    name: string
  ) {
    super();
    const { model, trans } = this._props;
    this.addClass('jp-farlab-Log');
    this.title.icon = farlabIcon;
    this.title.label = trans.__('Log of %1', name);
    this.title.closable = true;
    this._poll = pollWhile(
      () => this.isVisible && !model.isComplete,
      () => model.refresh(),
      INTERVAL
    );
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._poll.dispose();
    this._props.model.dispose();
    super.dispose();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    void this._poll.refresh();
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    this.node.querySelector<HTMLElement>('.jp-farlab-Log-lines')?.focus();
  }

  protected override render(): JSX.Element {
    return <LogView {...this._props} refresh={() => this._poll.refresh()} />;
  }

  private readonly _poll: Poll;
}
