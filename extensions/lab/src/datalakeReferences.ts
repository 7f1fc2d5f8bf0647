/**
 * What entries of one lake say about entries of another one.
 */
import type { IEntry, IReference } from './datalakeTypes.js';

/** Something that an entry refers to, which may be in no lake of this server. */
export interface INamedReference {
  name: string;
  /** Null: this server has no such lake. */
  to: IReference | null;
  /** Where else it can be seen. */
  url: string | null;
}

/** What a STAC document names in the lakes: datasets, containers, files. */
export function inLakes(entry: IEntry): INamedReference[] {
  const found = Array.isArray(entry.more.in) ? entry.more.in : [];
  return found.flatMap((one: unknown) => {
    const { host, lake, name, path, scope } = record(one);
    const did = scope && name ? `${scope}:${name}` : path;
    if (!did) {
      return [];
    }
    return [
      {
        name: lake ? `${lake}: ${did}` : `${host}: ${did}`,
        to: lake ? { lake, path: did } : null,
        url: null
      }
    ];
  });
}

/** The STAC item that describes a DID, if its metadata names one. */
export function itemOf(entry: IEntry): INamedReference | null {
  const { lake, path, url } = record(entry.more.item);
  if (!url) {
    return null;
  }
  return {
    name: url.slice(url.lastIndexOf('/') + 1) || url,
    to: lake && path ? { lake, path } : null,
    url
  };
}

/** The names of the lakes in which something is. */
export function lakeNames(entry: IEntry): string[] {
  return [...new Set(inLakes(entry).flatMap(({ to }) => to?.lake ?? []))];
}

function record(found: unknown): Record<string, string | undefined> {
  const entries = Object.entries((found ?? {}) as Record<string, unknown>);
  return Object.fromEntries(
    entries.flatMap(([key, value]) =>
      typeof value === 'string' ? [[key, value]] : []
    )
  );
}
