import type { IQuery } from './datalakeTypes.js';

const CONDITION = /^([A-Za-z0-9_-]+)(>=|<=|!=|=|>|<)(.+)$/;
/** STAC's keys have colons in them. */
const LONG_CONDITION = /^([A-Za-z0-9_:.-]+?)(>=|<=|!=|=|>|<)(.+)$/;

/**
 * The query that somebody typed: `scope:pattern key=value key>=value`. What has neither a colon
 * nor a sign is the pattern, and is looked for in the entry that is selected.
 *
 * @param below the path of the entry to look in where no scope was typed
 * @param hasScopes whether what is before a colon is a scope
 */
export function parseQuery(
  typed: string,
  below: string,
  hasScopes = true
): IQuery {
  const metadata: Record<string, string> = {};
  const words: string[] = [];
  for (const word of typed.trim().split(/\s+/)) {
    const found = (hasScopes ? CONDITION : LONG_CONDITION).exec(word);
    if (found) {
      metadata[found[1]!] = (found[2] === '=' ? '' : found[2]!) + found[3]!;
    } else {
      words.push(word);
    }
  }
  const pattern = words.join(' ');
  const colon = hasScopes ? pattern.indexOf(':') : -1;
  return {
    text: pattern.slice(colon + 1),
    path: colon < 0 ? below : pattern.slice(0, colon),
    metadata
  };
}

/** The scope of a DID, or of a scope. */
export function scopeOf(path: string): string {
  return path.split(':', 1)[0]!;
}
