/**
 * Times as STAC writes them.
 */

/**
 * The interval between two days, both of them in it; a missing one is open.
 *
 * @param from a day such as 2024-01-31, or nothing
 */
export function intervalOf(from: string, until: string): string {
  if (!from && !until) {
    return '';
  }
  const start = from ? `${from}T00:00:00Z` : '..';
  const end = until ? `${until}T23:59:59Z` : '..';
  return `${start}/${end}`;
}

/** An item's or a collection's time as people read it; empty for none. */
export function timeText(time: unknown): string {
  if (!Array.isArray(time)) {
    return '';
  }
  const [start, end] = time.map(one =>
    typeof one === 'string' ? one.replace(/T00:00:00(\.0+)?Z$/, '') : ''
  );
  if (!start && !end) {
    return '';
  }
  return start === end ? start! : `${start || '…'} – ${end || '…'}`;
}
