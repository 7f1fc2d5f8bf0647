import {
  IWorkloadsViewProps,
  WorkloadsView
} from '../components/WorkloadsView.js';
import { workloadsIcon } from '../icons.js';
import { SidePanel } from './SidePanel.js';

/** The sidebar that lists the user's workloads. */
export class WorkloadsPanel extends SidePanel {
  constructor(props: IWorkloadsViewProps) {
    const { refresh, trans } = props;
    super({
      id: 'farlab-workloads',
      className: 'jp-farlab-WorkloadsPanel',
      icon: workloadsIcon,
      label: trans.__('Workloads'),
      caption: trans.__('Workloads: what you run at sites'),
      refresh,
      content: () => <WorkloadsView {...props} />
    });
  }
}
