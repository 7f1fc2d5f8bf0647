/**
 * Spans of days that usage is shown for. Days and months are UTC's, as in the records.
 */

/** The spans that can be chosen. */
export type SpanName = 'month' | 'last-month' | 'days' | 'year';

/** A span from its first day to its last, both as `YYYY-MM-DD`. */
export interface ISpan {
  since: string;
  until: string;
}

const DAY = 86_400_000;
/** How many days `days` has, today included. */
const DAYS = 30;
/** How many days are shown one by one. */
const MOST_DAYS = 62;

/** The span of that name at a moment, in epoch seconds. */
export function spanOf(name: SpanName, now: number): ISpan {
  const today = new Date(now * 1000);
  const [year, month] = [today.getUTCFullYear(), today.getUTCMonth()];
  const until = isoDay(today.getTime());
  switch (name) {
    case 'month':
      return { since: isoDay(Date.UTC(year, month)), until };
    case 'last-month':
      return {
        since: isoDay(Date.UTC(year, month - 1)),
        until: isoDay(Date.UTC(year, month) - DAY)
      };
    case 'days':
      return { since: isoDay(today.getTime() - (DAYS - 1) * DAY), until };
    case 'year':
      return { since: isoDay(Date.UTC(year, 0)), until };
  }
}

/** Whether a span is shown by day or by month. */
export function stepOf(span: ISpan): 'day' | 'month' {
  return daysOf(span).length > MOST_DAYS ? 'month' : 'day';
}

/** The days of a span, or its months as `YYYY-MM` where it is longer than a few. */
export function stepsOf(span: ISpan): string[] {
  const days = daysOf(span);
  return stepOf(span) === 'day'
    ? days
    : [...new Set(days.map(day => day.slice(0, 7)))];
}

function daysOf({ since, until }: ISpan): string[] {
  const first = Date.parse(since);
  const count = Math.round((Date.parse(until) - first) / DAY) + 1;
  return Array.from({ length: count }, (_, day) => isoDay(first + day * DAY));
}

function isoDay(moment: number): string {
  return new Date(moment).toISOString().slice(0, 10);
}
