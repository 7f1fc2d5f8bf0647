import {
  IIdentityViewProps,
  IdentityView
} from '../components/IdentityView.js';
import { identityIcon } from '../icons.js';
import { SidePanel } from './SidePanel.js';

/** The sidebar that tells who the user is at each site. */
export class IdentityPanel extends SidePanel {
  constructor(props: IIdentityViewProps) {
    const { refresh, trans } = props;
    super({
      id: 'farlab-identity',
      className: 'jp-farlab-IdentityPanel',
      icon: identityIcon,
      label: trans.__('Identity'),
      caption: trans.__('Identity: who you are at each site'),
      refresh,
      content: () => <IdentityView {...props} />
    });
  }
}
