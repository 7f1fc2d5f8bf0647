/**
 * Metadata as somebody edits it: a table of keys and values.
 */

/** One row of the table; what is typed is text. */
export interface IPair {
  key: string;
  value: string;
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** The rows for what is known; only the keys that users may change. */
export function pairsOf(
  metadata: Record<string, unknown>,
  editable: readonly string[]
): IPair[] {
  return editable
    .filter(key => metadata[key] !== null && metadata[key] !== undefined)
    .map(key => ({ key, value: textOf(metadata[key]) }));
}

/** A value as it is typed: what would be read as something else is put in quotes. */
function textOf(value: unknown): string {
  return typeof value === 'string' && valueOf(value) === value
    ? value
    : JSON.stringify(value);
}

/**
 * The value that somebody typed. Numbers, true, false, lists and objects are what they look like,
 * a text in quotes is a text, and all else is a text too.
 */
export function valueOf(typed: string): unknown {
  const text = typed.trim();
  const isJson =
    NUMBER.test(text) ||
    text === 'true' ||
    text === 'false' ||
    /^(\{.*\}|\[.*\]|".*")$/s.test(text);
  if (!isJson) {
    return text;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** The metadata that the rows say; rows without a key say nothing. */
export function metadataOf(pairs: readonly IPair[]): Record<string, unknown> {
  return Object.fromEntries(
    pairs
      .filter(({ key, value }) => key.trim() !== '' && value.trim() !== '')
      .map(({ key, value }) => [key.trim(), valueOf(value)])
  );
}

/** What is to be changed to have what the rows say: null removes a key. */
export function changesOf(
  before: readonly IPair[],
  after: readonly IPair[]
): Record<string, unknown> {
  const [old, wanted] = [metadataOf(before), metadataOf(after)];
  const changes: Record<string, unknown> = {};
  for (const key of Object.keys(old)) {
    if (!(key in wanted)) {
      changes[key] = null;
    }
  }
  for (const [key, value] of Object.entries(wanted)) {
    if (JSON.stringify(old[key]) !== JSON.stringify(value)) {
      changes[key] = value;
    }
  }
  return changes;
}

/** A key that is there twice; null without one. */
export function doubleKey(pairs: readonly IPair[]): string | null {
  const keys = pairs.map(({ key }) => key.trim()).filter(Boolean);
  return keys.find((key, place) => keys.indexOf(key) !== place) ?? null;
}
