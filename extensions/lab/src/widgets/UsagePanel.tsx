import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';

import { IUsageViewProps, UsageView } from '../components/UsageView.js';
import { usageIcon } from '../icons.js';

/** The screen that tells what was used. */
export class UsagePanel extends ReactWidget {
  constructor(private readonly _props: IUsageViewProps) {
    super();
    const { trans } = this._props;
    this.addClass('jp-farlab-UsagePanel');
    this.title.icon = usageIcon;
    this.title.label = trans.__('Usage');
    this.title.caption = trans.__('What you used at sites');
    this.node.tabIndex = -1;
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    this.node.focus();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    void this._props.refresh();
  }

  protected override render(): JSX.Element {
    return <UsageView {...this._props} />;
  }
}
