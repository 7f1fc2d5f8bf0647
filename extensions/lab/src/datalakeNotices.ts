import { Notification } from '@jupyterlab/apputils';

import { attempt, IDataLakeContext } from './datalakeContext.js';
import { scopeOf } from './datalakeSearch.js';
import type { IDropped } from './datalakeStaged.js';
import { stage } from './datalakeStaged.js';
import { problemText } from './datalakeText.js';
import type { IUpload } from './datalakeTypes.js';
import { LakeFailure } from './datalakeTypes.js';
import { pollWhile } from './polls.js';

/** Milliseconds between two looks at uploads that run. */
const INTERVAL = 2000;
/** Milliseconds for which an end is shown. */
const SHOWN = 5000;

/**
 * Bring files of one's own computer to the server, with a notification that shows how far it is
 * and can stop it.
 *
 * @returns where they are there; null if it was stopped, or has failed, which is told
 */
export async function stageWithNotice(
  { app, client, trans }: IDataLakeContext,
  files: readonly IDropped[]
): Promise<string | null> {
  const request = new AbortController();
  const message = trans._n(
    'Sending %1 file to the server',
    'Sending %1 files to the server',
    files.length
  );
  const id = Notification.emit(message, 'in-progress', {
    autoClose: false,
    progress: 0,
    actions: [
      {
        label: trans.__('Cancel'),
        displayType: 'warn',
        callback: event => {
          event.preventDefault(); // the end dismisses it
          request.abort();
        }
      }
    ]
  });
  const { contents } = app.serviceManager;
  const staged = crypto.randomUUID();
  const work = stage(contents, staged, files, request.signal, (done, total) => {
    Notification.update({ id, progress: total > 0 ? done / total : 0 });
  }).catch(async (reason: Error) => {
    await client.dropStaged(staged).catch(() => undefined);
    if (request.signal.aborted) {
      return null;
    }
    throw new LakeFailure('server-error', reason.message);
  });
  const where = await attempt(trans, work);
  // Not dismissed: what is dismissed before it was shown would stay.
  Notification.update({
    id,
    type: where === null ? 'warning' : 'success',
    message:
      where === null
        ? trans.__('Not sent to the server.')
        : trans.__('Sent to the server.'),
    autoClose: SHOWN,
    progress: 1,
    actions: []
  });
  return where;
}

/** Tell of uploads that run, and of how they end, wherever the user looks at the moment. */
export function followUploads(context: IDataLakeContext): void {
  const { transfers } = context;
  const known = new Map<string, string>();
  const poll = pollWhile(
    () => known.size > 0,
    () => transfers.refresh(),
    INTERVAL
  );
  transfers.changed.connect(() => {
    const hadNone = known.size === 0;
    for (const upload of transfers.uploads) {
      follow(context, known, upload);
    }
    const listed = new Set(transfers.uploads.map(({ id }) => id));
    for (const [id, notice] of known) {
      if (!listed.has(id)) {
        known.delete(id);
        Notification.dismiss(notice);
      }
    }
    if (hadNone && known.size > 0) {
      void poll.start();
    }
  });
}

function follow(
  context: IDataLakeContext,
  known: Map<string, string>,
  upload: IUpload
): void {
  const { trans } = context;
  const target = upload.dataset || upload.folder || upload.lake;
  const { size = 0, size_done = 0 } = upload.progress;
  const id = known.get(upload.id);
  if (upload.state === 'running') {
    const message = trans.__('Uploading to %1', target);
    const progress = size > 0 ? Math.min(1, size_done / size) : 0;
    if (id === undefined) {
      known.set(upload.id, beginNotice(context, upload, message, progress));
    } else {
      Notification.update({ id, progress });
    }
    return;
  }
  if (id === undefined) {
    return; // it had ended before anybody looked
  }
  known.delete(upload.id);
  if (upload.state === 'done') {
    const message = trans.__('Uploaded to %1.', target);
    Notification.update({
      id,
      type: 'success',
      message,
      autoClose: SHOWN,
      progress: 1,
      actions: []
    });
    for (const path of changedPaths(upload)) {
      context.tree.reloadPath(upload.lake, path);
    }
  } else if (upload.error) {
    const { fix, message } = problemText(upload.error, trans);
    Notification.update({
      id,
      type: 'error',
      message: `${message} ${fix}`,
      autoClose: false,
      progress: 1,
      actions: [
        {
          label: trans.__('Show Transfers'),
          callback: () => context.pane.show('transfers')
        }
      ]
    });
  }
}

function beginNotice(
  { trans, transfers }: IDataLakeContext,
  upload: IUpload,
  message: string,
  progress: number
): string {
  return Notification.emit(message, 'in-progress', {
    autoClose: false,
    progress,
    actions: [
      {
        label: trans.__('Cancel'),
        displayType: 'warn',
        callback: event => {
          event.preventDefault();
          void transfers.cancelUpload(upload.id);
        }
      }
    ]
  });
}

/** The entries in which something is new after an upload. */
function changedPaths({ dataset, folder }: IUpload): string[] {
  if (dataset) {
    return [dataset, scopeOf(dataset)];
  }
  const names = folder ? folder.split('/') : [];
  return names.map((_, at) => names.slice(0, at + 1).join('/')).concat('');
}
