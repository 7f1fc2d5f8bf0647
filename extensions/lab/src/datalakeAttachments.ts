import { Notification } from '@jupyterlab/apputils';

import type { IDataLakeContext } from './datalakeContext.js';
import type { IEntry, ILake } from './datalakeTypes.js';

/** Where Rucio's own extension keeps in a notebook what is attached to it. */
const KEY = 'rucio_attachments';
/** The most that are shown. */
const MOST = 100;

/** A widget that may be a notebook. */
interface INotebookLike {
  readonly context?: {
    readonly model?: { getMetadata?: (key: string) => unknown };
  };
}

/** The DIDs that Rucio's own extension has attached to a notebook, each once. */
export function attachedDids(widget: unknown): string[] {
  const model = (widget as INotebookLike | null)?.context?.model;
  const found = model?.getMetadata?.(KEY);
  const dids = (Array.isArray(found) ? found : []).flatMap((one: unknown) => {
    const { did } = (one ?? {}) as { did?: unknown };
    return typeof did === 'string' && /^[^:]+:.+/.test(did) ? [did] : [];
  });
  return [...new Set(dids)].slice(0, MOST);
}

/** The Rucio that such DIDs are of: this site's, else one that knows the user. */
export function lakeOfAttached(lakes: readonly ILake[]): ILake | null {
  const able = lakes.filter(({ kind }) => kind === 'rucio');
  return (
    able.find(({ rse }) => rse) ??
    able.find(lake => lake.logged_in) ??
    able[0] ??
    null
  );
}

/** Show what is attached to the current notebook in the tree, and nothing else. */
export async function showAttached(context: IDataLakeContext): Promise<void> {
  const { app, client, lakes, trans, tree } = context;
  const dids = attachedDids(app.shell.currentWidget);
  if (lakes.lakes.length === 0) {
    await lakes.refresh();
  }
  const lake = lakeOfAttached(lakes.lakes);
  if (!lake || dids.length === 0) {
    Notification.info(
      dids.length === 0
        ? trans.__('Nothing is attached to this notebook.')
        : trans.__('This server knows of no Rucio.')
    );
    return;
  }
  const found = await Promise.all(
    dids.map(did =>
      client.details(lake.name, did).then(
        ({ entry }): IEntry[] => [entry],
        () => []
      )
    )
  );
  const entries = found.flat();
  if (entries.length < dids.length) {
    const missing = dids.filter((_, at) => found[at]!.length === 0);
    Notification.warning(
      trans.__('Not found in %1: %2.', lake.title, missing.join(', '))
    );
  }
  if (entries.length > 0) {
    tree.showEntries(lake, entries, trans.__('Attached to this notebook'));
  }
}
