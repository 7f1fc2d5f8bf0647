import { LabIcon, ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';

export interface ISidePanelOptions {
  id: string;
  className: string;
  icon: LabIcon;
  /** What the panel is called. */
  label: string;
  caption: string;
  /** Asks again, whenever the panel is shown; never rejects. */
  refresh: () => Promise<void>;
  content: () => JSX.Element;
}

/** A sidebar with a title, which is asked anew when it is shown. */
export class SidePanel extends ReactWidget {
  constructor(private readonly _options: ISidePanelOptions) {
    super();
    const { caption, className, icon, id, label } = this._options;
    this.id = id;
    this.addClass(className);
    this.title.icon = icon;
    this.title.caption = caption;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', label);
    this.node.tabIndex = -1;
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    this.node.focus();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    void this._options.refresh();
  }

  protected override render(): JSX.Element {
    return (
      <>
        <h2 className="jp-farlab-ServerPanel-title">{this._options.label}</h2>
        {this._options.content()}
      </>
    );
  }
}
