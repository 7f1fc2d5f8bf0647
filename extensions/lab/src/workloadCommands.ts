import type { JupyterFrontEnd } from '@jupyterlab/application';
import {
  Clipboard,
  Dialog,
  InputDialog,
  MainAreaWidget,
  Notification,
  showDialog,
  showErrorMessage
} from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { Widget } from '@lumino/widgets';

import { workloadsIcon } from './icons.js';
import { LogModel } from './logModel.js';
import { failureText } from './text.js';
import type { FarlabError, IFarlab, IWorkload } from './tokens.js';
import { attachCode, nameText, stateText } from './workloadText.js';
import { mayAttach, mayCancel, WorkloadsModel } from './workloadsModel.js';
import { LogPanel } from './widgets/LogPanel.js';

/** The ids of the commands. */
export const WorkloadCommandIDs = {
  show: 'farlab:show-workloads',
  showLog: 'farlab:show-workload-log',
  attach: 'farlab:attach-workload',
  copyCode: 'farlab:copy-workload-code',
  cancel: 'farlab:cancel-workload'
} as const;

/** The row of a workload, in the panel. */
const ROW = '.jp-farlab-Workload';

export interface ICommandContext {
  farlab: IFarlab;
  model: WorkloadsModel;
  panel: Widget;
  trans: TranslationBundle;
}

/** A command about one workload. */
interface IWorkloadCommand {
  id: string;
  label: string;
  caption: string;
  /** Which workloads it is for. */
  suits: (workload: IWorkload) => boolean;
  /** The rows whose context menu has it. */
  selector: string;
  run: (workload: IWorkload) => void | Promise<void>;
}

/** Add the commands, and those about one workload to the context menu of its row. */
export function addWorkloadCommands(
  app: JupyterFrontEnd,
  context: ICommandContext
): void {
  const { panel, trans } = context;
  app.commands.addCommand(WorkloadCommandIDs.show, {
    label: trans.__('Show Workloads'),
    caption: trans.__('List what you run at sites'),
    icon: workloadsIcon,
    execute: () => app.shell.activateById(panel.id)
  });
  workloadCommands(app, context).forEach((command, rank) => {
    app.commands.addCommand(command.id, {
      // In the palette it asks for which one.
      label: args => (args.isMenu ? command.label : `${command.label}…`),
      caption: command.caption,
      execute: async args => {
        const workload = await choose(app, context, command, args);
        if (workload) {
          await command.run(workload);
        }
      }
    });
    app.contextMenu.addItem({
      command: command.id,
      args: { isMenu: true },
      selector: command.selector,
      rank
    });
  });
}

function workloadCommands(
  app: JupyterFrontEnd,
  context: ICommandContext
): IWorkloadCommand[] {
  const { trans } = context;
  return [
    {
      id: WorkloadCommandIDs.showLog,
      label: trans.__('Show the Log of a Workload'),
      caption: trans.__('Show what its job writes'),
      suits: () => true,
      selector: ROW,
      run: workload => showLog(app, context, workload)
    },
    {
      id: WorkloadCommandIDs.attach,
      label: trans.__('Attach a Notebook to a Workload'),
      caption: trans.__('Put the code that attaches into a new cell'),
      suits: mayAttach,
      selector: `${ROW}[data-may-attach]`,
      run: workload => attach(app, context, workload)
    },
    {
      id: WorkloadCommandIDs.copyCode,
      label: trans.__('Copy the Code That Attaches to a Workload'),
      caption: trans.__('Copy it to the clipboard'),
      suits: mayAttach,
      selector: `${ROW}[data-may-attach]`,
      run: workload => copyCode(context, workload)
    },
    {
      id: WorkloadCommandIDs.cancel,
      label: trans.__('Cancel a Workload'),
      caption: trans.__('End its job at the site'),
      suits: mayCancel,
      selector: `${ROW}[data-may-cancel]`,
      run: workload => cancel(context, workload)
    }
  ];
}

/** The workload that a command is for: named, clicked on, or else chosen in a dialog. */
async function choose(
  app: JupyterFrontEnd,
  { model, trans }: ICommandContext,
  { caption, label, suits }: IWorkloadCommand,
  args: { uid?: unknown; isMenu?: unknown }
): Promise<IWorkload | undefined> {
  const uid = args.isMenu
    ? app.contextMenuHitTest(node => node.matches(ROW))?.dataset.uid
    : args.uid;
  if (typeof uid === 'string') {
    return model.find(uid);
  }
  // A failure is shown below as an empty list, and in the panel as what it is.
  await model.refresh().catch(() => undefined);
  const suitable = model.workloads.filter(suits);
  if (suitable.length === 0) {
    Notification.info(trans.__('There is no workload to do this with.'));
    return undefined;
  }
  const items = suitable.map(
    workload =>
      `${nameText(workload, trans)} · ${workload.site} · ${stateText(workload, trans)} · ` +
      workload.uid.slice(0, 8)
  );
  const { value } = await InputDialog.getItem({
    title: label,
    label: caption,
    items
  });
  return value === null ? undefined : suitable[items.indexOf(value)];
}

/** Show a workload's log in the main area; a log that is open already comes to the front. */
function showLog(
  app: JupyterFrontEnd,
  { farlab, trans }: ICommandContext,
  workload: IWorkload
): void {
  const id = `farlab-log-${workload.uid}`;
  const open = [...app.shell.widgets('main')].some(widget => widget.id === id);
  if (!open) {
    const model = new LogModel(farlab, workload.uid);
    const content = new LogPanel({ model, trans }, nameText(workload, trans));
    const widget = new MainAreaWidget({ content });
    widget.id = id;
    widget.toolbar.hide();
    app.shell.add(widget, 'main');
  }
  app.shell.activateById(id);
}

/** Put the code that attaches into a new cell of the current notebook, or else copy it. */
async function attach(
  { commands, shell }: JupyterFrontEnd,
  context: ICommandContext,
  workload: IWorkload
): Promise<void> {
  if (!isUsable(commands, 'notebook:insert-cell-below')) {
    copyCode(context, workload);
    return;
  }
  await commands.execute('notebook:insert-cell-below');
  await commands.execute('notebook:replace-selection', {
    text: attachCode(workload.name)
  });
  if (shell.currentWidget) {
    shell.activateById(shell.currentWidget.id);
  }
}

function isUsable(commands: CommandRegistry, id: string): boolean {
  return commands.hasCommand(id) && commands.isEnabled(id);
}

function copyCode({ trans }: ICommandContext, { name }: IWorkload): void {
  Clipboard.copyToSystem(attachCode(name));
  Notification.success(
    trans.__(
      'Copied the code that attaches to %1. Paste it into a cell.',
      name
    ),
    { autoClose: 5000 }
  );
}

async function cancel(
  { model, trans }: ICommandContext,
  workload: IWorkload
): Promise<void> {
  const name = nameText(workload, trans);
  const { button } = await showDialog({
    title: trans.__('Cancel %1?', name),
    body: trans.__(
      'Its job at %1 ends, and what is in its memory is lost.',
      workload.site
    ),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Keep It') }),
      Dialog.warnButton({ label: trans.__('Cancel Workload') })
    ],
    defaultButton: 0
  });
  if (!button.accept) {
    return;
  }
  await model
    .cancel(workload.uid)
    .catch((error: FarlabError) =>
      showErrorMessage(
        trans.__('%1 was not cancelled', name),
        failureText(error, trans)
      )
    );
}
