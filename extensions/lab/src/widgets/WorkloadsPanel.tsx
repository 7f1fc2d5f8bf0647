import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';

import {
  IWorkloadsViewProps,
  WorkloadsView
} from '../components/WorkloadsView.js';
import { workloadsIcon } from '../icons.js';

/** The sidebar that lists the user's workloads. */
export class WorkloadsPanel extends ReactWidget {
  constructor(private readonly _props: IWorkloadsViewProps) {
    super();
    const { trans } = this._props;
    this.id = 'farlab-workloads';
    this.addClass('jp-farlab-WorkloadsPanel');
    this.title.icon = workloadsIcon;
    this.title.caption = trans.__('Workloads: what you run at sites');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Workloads'));
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
    return (
      <>
        <h2 className="jp-farlab-ServerPanel-title">
          {this._props.trans.__('Workloads')}
        </h2>
        <WorkloadsView {...this._props} />
      </>
    );
  }
}
