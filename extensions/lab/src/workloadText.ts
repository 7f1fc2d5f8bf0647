/**
 * The sentences about workloads, in the reader's language.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IWorkload } from './tokens.js';

/** What a workload is called. */
export function nameText(
  workload: IWorkload,
  trans: TranslationBundle
): string {
  if (workload.kind === 'server') {
    return workload.server_name || trans.__('Notebook server');
  }
  return workload.name || workload.uid.slice(0, 8);
}

/** What a workload is. */
export function workloadKindText(
  workload: IWorkload,
  trans: TranslationBundle
): string {
  switch (workload.kind) {
    case 'server':
      return trans.__('Notebook server');
    case 'kernel':
      return trans.__('Kernel');
    default:
      return workload.kind;
  }
}

/** The word for a workload's state. */
export function stateText(
  workload: IWorkload,
  trans: TranslationBundle
): string {
  return {
    requested: trans.__('Requested'),
    submitted: trans.__('Submitted'),
    queued: trans.__('Waiting'),
    starting: trans.__('Starting'),
    ready: trans.__('Ready'),
    finished: trans.__('Finished'),
    failed: trans.__('Failed'),
    cancelled: trans.__('Cancelled')
  }[workload.state];
}

/** A place in a batch system's queue. */
export interface IQueuePlace {
  place: number;
  waiting: number;
}

/** The place in the queue that the service's message tells of; null without one. */
export function queuePlace(workload: IWorkload): IQueuePlace | null {
  const found = /\bplace (\d+) of (\d+)/.exec(workload.message);
  return workload.state === 'queued' && found
    ? { place: Number(found[1]), waiting: Number(found[2]) }
    : null;
}

/** Why a workload is as it is, in the site's words; may be empty. */
export function reasonText({ reason, message, state }: IWorkload): string {
  // Some reasons are the state's own word, or a word of the message.
  const isNew = reason.toLowerCase() !== state && !message.includes(reason);
  return [isNew && reason, message].filter(Boolean).join(': ');
}

/** The code with which a notebook attaches to a workload. */
export function attachCode(name: string): string {
  // Other names would need quotes, which IPython's magics do not take off.
  return /^\w[\w.-]*$/.test(name)
    ? `%load_ext farlab_kernels\n%offload attach ${name}`
    : `import farlab_kernels\n\nsession = farlab_kernels.attach(${JSON.stringify(name)})`;
}
