import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { SplitPanel } from '@lumino/widgets';

import {
  DataLakePane,
  IDataLakePaneProps
} from '../components/DataLakePane.js';
import { DataLakeTop, IDataLakeTopProps } from '../components/DataLakeTop.js';
import { lakeIcon } from '../datalakeIcons.js';

/** The sidebar with the lakes above, and what is selected below. */
export class DataLakePanel extends SplitPanel {
  constructor(private readonly _props: IDataLakeTopProps & IDataLakePaneProps) {
    super({ orientation: 'vertical', spacing: 1 });
    const { pane, trans } = this._props;
    this.id = 'farlab-datalake';
    this.addClass('jp-farlab-DataLakePanel');
    this.title.icon = lakeIcon;
    this.title.caption = trans.__('DataLake: data at many sites');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('DataLake'));
    this.node.tabIndex = -1;
    const lower = ReactWidget.create(<DataLakePane {...this._props} />);
    lower.addClass('jp-farlab-LakePane');
    lower.hide();
    const upper = ReactWidget.create(<DataLakeTop {...this._props} />);
    upper.addClass('jp-farlab-LakeTop');
    this.addWidget(upper);
    this.addWidget(lower);
    pane.changed.connect(() => {
      const wasHidden = lower.isHidden;
      lower.setHidden(pane.tab === null);
      if (wasHidden && !lower.isHidden) {
        this.setRelativeSizes([1, 1]);
      }
    });
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    const tree = this.node.querySelector<HTMLElement>('[role="treegrid"]');
    (tree ?? this.node).focus();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    if (this._props.lakes.state.name !== 'list') {
      this._props.refresh();
    }
  }
}
