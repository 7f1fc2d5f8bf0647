import type { DataLakeClient } from './datalakeClient.js';
import type { EntryKind, IEntry, ILake, IProblem } from './datalakeTypes.js';
import { Observable } from './observable.js';

/** Rows that are read at once. */
const PAGE = 50;

/** The folders of a lake, one level at a time, for somebody who looks for one of them. */
export class ChooserModel extends Observable {
  /**
   * @param kinds what can be gone into
   * @param lake where one begins
   */
  constructor(
    private readonly _client: Pick<DataLakeClient, 'entries'>,
    private readonly _kinds: readonly EntryKind[],
    lake: ILake,
    path: string
  ) {
    super();
    this._lake = lake;
    this._path = path;
    void this._load();
  }

  get lake(): ILake {
    return this._lake;
  }

  /** Where one is now; empty is the lake itself. */
  get path(): string {
    return this._path;
  }

  /** What one can go into from here. */
  get entries(): readonly IEntry[] {
    return this._entries;
  }

  get isLoading(): boolean {
    return this._request !== null;
  }

  get hasMore(): boolean {
    return this._next !== null;
  }

  get problem(): IProblem | null {
    return this._problem;
  }

  /** The paths on the way here, from the lake on, with their names. */
  get way(): { path: string; name: string }[] {
    return wayOf(this._lake, this._path);
  }

  go(lake: ILake, path: string): void {
    this._lake = lake;
    this._path = path;
    this._entries = [];
    this._next = '';
    void this._load();
  }

  more(): void {
    void this._load();
  }

  override dispose(): void {
    this._request?.abort();
    super.dispose();
  }

  private async _load(): Promise<void> {
    this._request?.abort();
    const request = new AbortController();
    this._request = request;
    this._problem = null;
    this.tellOfChange();
    try {
      const page = await this._client.entries(
        this._lake.name,
        this._path,
        this._next ?? '',
        PAGE,
        request.signal
      );
      if (request.signal.aborted) {
        return;
      }
      const found = page.entries.filter(({ kind }) =>
        this._kinds.includes(kind)
      );
      this._entries = [...this._entries, ...found];
      this._next = page.next;
    } catch (reason) {
      if (request.signal.aborted) {
        return;
      }
      this._problem = reason as IProblem;
    }
    this._request = null;
    this.tellOfChange();
  }

  private _entries: readonly IEntry[] = [];
  private _lake: ILake;
  private _next: string | null = '';
  private _path: string;
  private _problem: IProblem | null = null;
  private _request: AbortController | null = null;
}

/** The paths on the way to one, from the lake on. */
export function wayOf(
  lake: ILake,
  path: string
): { path: string; name: string }[] {
  const root = { path: '', name: lake.title };
  if (path === '') {
    return [root];
  }
  if (lake.kind === 'rucio') {
    const [scope, name] = splitOnce(path, ':');
    const way = [root, { path: scope, name: scope }];
    return name === null ? way : [...way, { path, name }];
  }
  const names = path.split('/');
  return [
    root,
    ...names.map((name, at) => ({
      path: names.slice(0, at + 1).join('/'),
      name
    }))
  ];
}

function splitOnce(text: string, mark: string): [string, string | null] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

/** A path below another one. */
export function joined(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}
