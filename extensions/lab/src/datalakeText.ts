/**
 * The words about lakes and what is in them, in the reader's language.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Availability } from './datalakeAvailability.js';
import { stagedId } from './datalakeStaged.js';
import type {
  EntryKind,
  IProblem,
  IRule,
  ITransfer,
  IUpload,
  TransferState
} from './datalakeTypes.js';

/** What went wrong, and what to do: the API's own words, and ours where it did not answer. */
export function problemText(
  problem: IProblem,
  trans: TranslationBundle
): { message: string; fix: string } {
  switch (problem.code) {
    case 'no-server':
      return {
        message: trans.__('The server did not answer (%1).', problem.message),
        fix: trans.__('Check your network and that the server still runs.')
      };
    case 'no-extension':
      return {
        message: trans.__("This server's Farlab extension is missing."),
        fix: trans.__(
          'Install it with "pip install farlab[lab]", then restart the server.'
        )
      };
    case 'server-error':
      return {
        message: trans.__('The server could not answer: %1.', problem.message),
        fix: trans.__('Try again; its log tells more.')
      };
    default:
      return problem;
  }
}

/** The word for a kind of entry. */
export function entryKindText(
  kind: EntryKind,
  trans: TranslationBundle
): string {
  return {
    scope: trans.__('Scope'),
    container: trans.__('Container'),
    dataset: trans.__('Dataset'),
    file: trans.__('File'),
    folder: trans.__('Folder'),
    bucket: trans.__('Bucket'),
    catalogue: trans.__('Catalogue'),
    collection: trans.__('Collection'),
    item: trans.__('Item'),
    asset: trans.__('Asset')
  }[kind];
}

/** Where a file is, in a few words. */
export function availabilityText(
  where: Availability,
  trans: TranslationBundle
): string {
  return {
    here: trans.__('On this machine'),
    elsewhere: trans.__('At other sites'),
    nowhere: trans.__('No good copy')
  }[where];
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** A number of bytes as people read it, such as "1.2 GB". */
export function sizeText(size: number): string {
  let [value, unit] = [size, 0];
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** The word for a rule's state. */
export function ruleText(rule: IRule, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    ok: trans.__('Complete'),
    replicating: trans.__('On its way'),
    stuck: trans.__('Stuck'),
    suspended: trans.__('Suspended'),
    waiting_approval: trans.__('Waits for approval'),
    inject: trans.__('Being set up')
  };
  return words[rule.state] ?? rule.state;
}

/** The word for a transfer's state. */
export function transferText(
  state: TransferState,
  trans: TranslationBundle
): string {
  return {
    waiting: trans.__('Waiting'),
    active: trans.__('On its way'),
    done: trans.__('Done'),
    partly: trans.__('Done in part'),
    failed: trans.__('Failed'),
    cancelled: trans.__('Cancelled'),
    expired: trans.__('Expired')
  }[state];
}

/** What is being uploaded; what was dropped has a folder whose name says nothing. */
export function uploadTitle(
  { progress, source }: IUpload,
  trans: TranslationBundle
): string {
  const name = source.slice(source.lastIndexOf('/') + 1);
  const files = progress.files ?? 0;
  return stagedId(source) === name && /^[0-9a-f-]{36}$/.test(name)
    ? trans._n('%1 file', '%1 files', files)
    : name;
}

/** The word for an upload's state. */
export function uploadText(
  state: IUpload['state'],
  trans: TranslationBundle
): string {
  return {
    running: trans.__('On its way'),
    done: trans.__('Done'),
    failed: trans.__('Failed'),
    cut: trans.__('Interrupted')
  }[state];
}

/** What a button about a transfer says. */
export function transferActionText(
  transfer: ITransfer,
  action: ITransfer['actions'][number],
  trans: TranslationBundle
): string {
  if (action === 'retry') {
    return transfer.state === 'expired'
      ? trans.__('Start again with a fresh token')
      : trans.__('Try again');
  }
  return action === 'cancel' ? trans.__('Cancel') : trans.__('Remove');
}

/** A value of metadata as text. */
export function valueText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
