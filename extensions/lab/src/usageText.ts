/**
 * Figures and sentences about usage, in the reader's language.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import { momentText, spanText } from './text.js';
import type { SpanName } from './usageSpans.js';
import type {
  IBudget,
  IUsageRecord,
  IUsageSums,
  Quantity,
  Whose
} from './usageTypes.js';

const MINUS = '–';

/** A figure with as many digits as tell something. */
export function figureText(figure: number): string {
  const digits = figure >= 100 || figure === 0 ? 0 : figure >= 10 ? 1 : 2;
  return figure > 0 && figure < 0.01
    ? '< 0.01'
    : figure.toLocaleString(undefined, { maximumFractionDigits: digits });
}

/** The words for a span. */
export function spanName(name: SpanName, trans: TranslationBundle): string {
  return {
    month: trans.__('This month'),
    'last-month': trans.__('Last month'),
    days: trans.__('Last 30 days'),
    year: trans.__('This year')
  }[name];
}

/** The words for a quantity. */
export function quantityText(
  quantity: Quantity,
  trans: TranslationBundle
): string {
  return {
    core_hours: trans.__('Core hours'),
    gpu_hours: trans.__('GPU hours'),
    memory_gib_hours: trans.__('Memory, GiB hours')
  }[quantity];
}

/** Whose usage it is. */
export function whoseText(whose: Whose, trans: TranslationBundle): string {
  switch (whose.name) {
    case 'mine':
      return trans.__('My usage');
    case 'group':
      return trans.__('The group %1', whose.group);
    case 'all':
      return trans.__('Everyone');
  }
}

/** How much of the allocated cores' time was used; a dash where nobody knows. */
export function efficiencyText({ efficiency }: IUsageSums): string {
  return shareText(efficiency);
}

/** A share in per cent; a dash where nobody knows. */
export function shareText(share: number | null): string {
  return share === null ? MINUS : `${Math.round(100 * share)} %`;
}

/** A span in words; a dash where nobody knows. */
export function secondsText(
  seconds: number | null,
  trans: TranslationBundle
): string {
  return seconds === null ? MINUS : spanText(Math.round(seconds), trans);
}

/** The word for energy, with how it is known. */
export function energyName(
  { energy_source }: IUsageSums,
  trans: TranslationBundle
): string {
  switch (energy_source) {
    case 'measured':
      return trans.__('Energy, measured');
    case 'estimated':
      return trans.__('Energy, estimated');
    default:
      return trans.__('Energy, partly estimated');
  }
}

/** A bar's name: a day such as `2026-11-26`, or a month such as `2026-11`. */
export function stepText(step: string): string {
  const [year, month, day] = step.split('-').map(Number);
  const moment = new Date(year!, month! - 1, day ?? 1);
  return day === undefined
    ? moment.toLocaleDateString(undefined, { month: 'short', year: 'numeric' })
    : moment.toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
}

/** What of a budget is used, in one line. */
export function budgetText(budget: IBudget, trans: TranslationBundle): string {
  return trans.__(
    '%1 of %2 %3 used (%4)',
    figureText(budget.used),
    figureText(budget.amount),
    budget.unit,
    budget.window
  );
}

/** Whose budget it is, and where it counts. */
export function budgetScopeText(
  { scope, sites, subject }: IBudget,
  trans: TranslationBundle
): string {
  const who =
    scope === 'group' ? trans.__('shared by %1', subject) : trans.__('yours');
  return sites.length > 0 ? trans.__('%1, at %2', who, sites.join(', ')) : who;
}

/** What comes of a budget; empty where nothing does soon. */
export function budgetOutlook(
  { empty_on, room_at, state }: IBudget,
  trans: TranslationBundle
): string {
  if (state === 'full') {
    return room_at === null
      ? trans.__('Used up: nothing new starts.')
      : trans.__('Used up: nothing new starts before %1.', momentOf(room_at));
  }
  return empty_on === null
    ? ''
    : trans.__('At this rate empty on %1.', dayOf(empty_on));
}

/** How a workload ended, and why. */
export function endText(
  { exit_code, reason, state }: IUsageRecord,
  trans: TranslationBundle
): string {
  const word = {
    finished: trans.__('Finished'),
    failed: trans.__('Failed'),
    cancelled: trans.__('Cancelled')
  }[state];
  const code = exit_code ? trans.__('exit code %1', exit_code) : '';
  const isSaid = reason.toLowerCase().startsWith(state);
  return [isSaid ? reason : (word ?? state), !isSaid && reason, code]
    .filter(Boolean)
    .join(', ');
}

/** How long a record ran. */
export function recordSpan(
  { ended, started }: IUsageRecord,
  trans: TranslationBundle
): string {
  return started === null || ended === null
    ? trans.__('never began')
    : spanText(Math.round(ended - started), trans);
}

/** A moment, with its date unless it is today. */
export function momentOf(moment: number): string {
  return momentText(new Date(moment * 1000), new Date());
}

function dayOf(moment: number): string {
  return new Date(moment * 1000).toLocaleDateString(undefined, {
    day: 'numeric',
    month: 'short',
    year: 'numeric'
  });
}

/** The month in a few words, or the budget that is running out. */
export function statusText(
  totals: IUsageSums,
  budgets: readonly IBudget[],
  trans: TranslationBundle
): string {
  const short = budgets.find(({ state }) => state === 'full');
  const low = short ?? budgets.find(({ state }) => state === 'warn');
  if (low) {
    return trans.__(
      '%1: %2 of %3 %4 left',
      low.name,
      figureText(low.left),
      figureText(low.amount),
      low.unit
    );
  }
  const cores = trans.__('%1 core h', figureText(totals.core_hours));
  const gpus = trans.__('%1 GPU h', figureText(totals.gpu_hours));
  return totals.gpu_hours > 0 ? `${cores} · ${gpus}` : cores;
}
