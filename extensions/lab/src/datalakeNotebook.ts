import type { JupyterFrontEnd } from '@jupyterlab/application';

/** What a new notebook is before it can take cells. */
interface INewNotebook {
  context: { ready: Promise<void> };
}

/**
 * Put code into a new cell of the current notebook; without one, of a new notebook.
 */
export async function insertCell(
  app: JupyterFrontEnd,
  code: string
): Promise<void> {
  const { commands, serviceManager, shell } = app;
  if (!commands.isEnabled('notebook:insert-cell-below')) {
    await serviceManager.kernelspecs.ready;
    const kernelName = serviceManager.kernelspecs.specs?.default;
    const made = (await commands.execute('notebook:create-new', {
      kernelName
    })) as INewNotebook;
    await made.context.ready;
  } else {
    await commands.execute('notebook:insert-cell-below');
  }
  await commands.execute('notebook:replace-selection', { text: code });
  if (shell.currentWidget) {
    shell.activateById(shell.currentWidget.id);
  }
}

/** Whether there are notebooks in this JupyterLab. */
export function hasNotebooks({ commands }: JupyterFrontEnd): boolean {
  return commands.hasCommand('notebook:insert-cell-below');
}
