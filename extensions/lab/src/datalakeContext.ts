import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification, showErrorMessage } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { AvailabilityModel } from './datalakeAvailability.js';
import type { DataLakeClient } from './datalakeClient.js';
import type { DetailsModel } from './datalakeDetails.js';
import type { LakesModel } from './datalakeLakes.js';
import type { PaneModel } from './datalakePane.js';
import type { SelectionModel } from './datalakeSelection.js';
import { problemText } from './datalakeText.js';
import type { TransfersModel } from './datalakeTransfers.js';
import type { LakeTree } from './datalakeTree.js';
import type { IProblem } from './datalakeTypes.js';

/** What the actions of the panel work with. */
export interface IDataLakeContext {
  app: JupyterFrontEnd;
  client: DataLakeClient;
  lakes: LakesModel;
  tree: LakeTree;
  selection: SelectionModel;
  availability: AvailabilityModel;
  details: DetailsModel;
  transfers: TransfersModel;
  pane: PaneModel;
  trans: TranslationBundle;
}

/** Milliseconds for which a success is told. */
const TOLD = 5000;

export function tellSuccess(words: string): void {
  Notification.success(words, { autoClose: TOLD });
}

/**
 * Do something, and tell what went wrong in a dialog: a notification would cut it short.
 *
 * @returns null if it went wrong
 */
export async function attempt<T>(
  trans: TranslationBundle,
  work: Promise<T>
): Promise<T | null> {
  try {
    return await work;
  } catch (reason) {
    const problem = reason as IProblem;
    const { message, fix } = problemText(problem, trans);
    await showErrorMessage(
      trans.__('It was not done'),
      `${message} ${fix} (${problem.code})`
    );
    return null;
  }
}
