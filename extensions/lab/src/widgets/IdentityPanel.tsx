import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';

import {
  IdentityView,
  IIdentityViewProps
} from '../components/IdentityView.js';
import { identityIcon } from '../icons.js';

/** The sidebar that tells who the user is at each site. */
export class IdentityPanel extends ReactWidget {
  constructor(private readonly _props: IIdentityViewProps) {
    super();
    const { trans } = this._props;
    this.id = 'farlab-identity';
    this.addClass('jp-farlab-IdentityPanel');
    this.title.icon = identityIcon;
    this.title.caption = trans.__('Identity: who you are at each site');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Identity'));
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
          {this._props.trans.__('Identity')}
        </h2>
        <IdentityView {...this._props} />
      </>
    );
  }
}
