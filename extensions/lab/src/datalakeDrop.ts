import { Notification } from '@jupyterlab/apputils';

import { takesUploads } from './datalakeCollectionCommands.js';
import { attempt, IDataLakeContext } from './datalakeContext.js';
import type { ISubject } from './datalakeDetails.js';
import { subjectOf } from './datalakeSelection.js';
import { droppedFiles } from './datalakeStaged.js';
import { rowId } from './datalakeTree.js';
import { upload } from './datalakeUpload.js';

/** The row that would get what is being dragged. */
const TARGET = 'jp-mod-dropTarget';

/** Let files and folders be dropped on the scopes, datasets and folders of the panel. */
export function acceptDrops(
  context: IDataLakeContext,
  panel: HTMLElement
): void {
  const { trans } = context;
  const unmark = () =>
    panel
      .querySelectorAll(`.${TARGET}`)
      .forEach(row => row.classList.remove(TARGET));
  panel.addEventListener('dragover', event => {
    if (!event.dataTransfer?.types.includes('Files')) {
      return;
    }
    event.preventDefault();
    unmark();
    const found = targetOf(context, event);
    event.dataTransfer.dropEffect = found ? 'copy' : 'none';
    found?.row.classList.add(TARGET);
  });
  panel.addEventListener('dragleave', unmark);
  panel.addEventListener('drop', event => {
    unmark();
    const data = event.dataTransfer;
    if (!data?.types.includes('Files')) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    const found = targetOf(context, event);
    if (!found) {
      Notification.info(trans.__('Drop it on a dataset, a scope or a folder.'));
      return;
    }
    void attempt(trans, droppedFiles(data)).then(files =>
      files?.length ? upload(context, found.subject, files) : undefined
    );
  });
}

/** The entry below the pointer, if it takes uploads. */
function targetOf(
  { tree }: IDataLakeContext,
  event: DragEvent
): { row: Element; subject: ISubject } | null {
  const row = (event.target as Element).closest('.jp-farlab-LakeRow');
  const node = tree.rows.find(
    one => one.node && rowId(one.node) === row?.id
  )?.node;
  const subject = node && subjectOf(node);
  return row && subject && takesUploads(subject) ? { row, subject } : null;
}
