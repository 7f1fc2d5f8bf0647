import type { DataLakeClient } from './datalakeClient.js';
import type {
  IEntry,
  ILake,
  IPage,
  IProblem,
  IQuery
} from './datalakeTypes.js';
import { can, isContainer } from './datalakeTypes.js';
import type { IRange } from './datalakeWindow.js';
import { Observable } from './observable.js';

/** The most rows to ask for at once: more than any screen has. */
const PAGE_MAX = 200;

/** A lake, or an entry in it. */
export interface INode {
  /** The same for as long as it is in the tree. */
  readonly id: string;
  readonly lake: ILake;
  /** Null: it is the lake itself, or a search in it. */
  readonly entry: IEntry | null;
  readonly depth: number;
  /** Its place among those beside it, from 1 on. */
  readonly position: number;
  readonly parent: INode | null;
  /** What is asked for instead of what is in it. */
  readonly query: IQuery | null;
  /** The rest of what is in it, while it is open and there is more. */
  tail: ITail | null;
  isOpen: boolean;
}

/** What follows the children of an open node that are known. */
export interface ITail {
  readonly node: INode;
  /** Where the next page begins. */
  cursor: string;
  /** How many children are above it. */
  known: number;
  request: AbortController | null;
  problem: IProblem | null;
  isEmpty: boolean;
}

/** One row: a node, or a tail. */
export type Row =
  { node: INode; tail?: undefined } | { tail: ITail; node?: undefined };

/**
 * The rows of the tree. It asks for a page when the place where it goes comes on the screen, and
 * for no other; what is scrolled away before it has come is not waited for.
 */
export class LakeTree extends Observable {
  constructor(
    private readonly _client: Pick<DataLakeClient, 'entries' | 'search'>
  ) {
    super();
  }

  get rows(): readonly Row[] {
    return this._rows;
  }

  /** The indices of the rows that are notes. */
  get notes(): number[] {
    return this._notes;
  }

  get selected(): INode | null {
    return this._selected;
  }

  /** The search that is shown instead of the lakes. */
  get query(): IQuery | null {
    return this._query;
  }

  /** The index of the selected row; -1 without one. */
  get selectedIndex(): number {
    const node = this._selected;
    return node ? this._rows.findIndex(row => isOf(row, node)) : -1;
  }

  /** Begin with these lakes; those that were open are opened anew. */
  show(lakes: readonly ILake[]): void {
    this._remember(this._rows);
    this._begin(null);
    const nodes = lakes.map((lake, index) =>
      this._node(lake, null, null, index + 1)
    );
    this._rows = nodes.map(node => ({ node }));
    this._restore(nodes);
    if (nodes.length === 1 && !nodes[0]!.isOpen) {
      this._unfold(nodes[0]!);
    }
    this._tell();
  }

  /** Show what a lake finds. */
  search(lake: ILake, query: IQuery): void {
    this._begin(query);
    const node = { ...this._node(lake, null, null, 1), depth: -1, query };
    const tail = newTail(node);
    node.tail = tail;
    this._rows.push({ tail });
    this._tell();
  }

  /** Show one entry by itself, as if it had been searched for. */
  showEntry(lake: ILake, entry: IEntry): void {
    this.showEntries(lake, [entry], entry.name);
  }

  /** Show these entries, and nothing else; the first is selected, and alone it is open. */
  showEntries(lake: ILake, entries: readonly IEntry[], text: string): void {
    this._begin({ text, path: '', metadata: {} });
    const nodes = entries.map((entry, index) =>
      this._node(lake, entry, null, index + 1)
    );
    this._rows = nodes.map(node => ({ node }));
    const [first] = nodes;
    if (first) {
      this._selected = first;
    }
    if (first && nodes.length === 1 && this.hasChildren(first)) {
      this._unfold(first);
    }
    this._tell();
  }

  select(node: INode | null): void {
    if (node !== this._selected) {
      this._selected = node;
      this._reselect = '';
      this.tellOfChange();
    }
  }

  /** Whether something is in a node, as far as one knows before looking. */
  hasChildren(node: INode): boolean {
    return node.entry === null || isContainer(node.entry);
  }

  open(node: INode): void {
    if (!node.isOpen && this.hasChildren(node)) {
      this._unfold(node);
      this._tell();
    }
  }

  close(node: INode): void {
    if (node.isOpen) {
      this._reopen.clear();
      this._fold(node);
      this._tell();
    }
  }

  /** Read a node anew. */
  reload(node: INode): void {
    if (node.isOpen) {
      const index = this._rows.findIndex(row => isOf(row, node));
      this._remember(this._rows.slice(index + 1, this._endOf(node, index)));
      this._fold(node);
      this._unfold(node);
      this._tell();
    }
  }

  /** Read an entry anew wherever it is shown open; the empty path is the lake itself. */
  reloadPath(lake: string, path: string): void {
    for (const { node } of [...this._rows]) {
      if (node?.lake.name === lake && (node.entry?.path ?? '') === path) {
        this.reload(node);
      }
    }
  }

  /** Try again what has failed. */
  retry(tail: ITail): void {
    tail.problem = null;
    this._tell();
  }

  /**
   * Load what is missing on the screen, and nothing else.
   *
   * @param capacity how many rows the screen has room for
   */
  look(range: IRange, capacity: number): void {
    const wanted = new Set<ITail>();
    for (const { tail } of this._rows.slice(range.first, range.end)) {
      if (tail) {
        wanted.add(tail);
      }
    }
    for (const tail of [...this._loading]) {
      if (!wanted.has(tail)) {
        this._stop(tail);
      }
    }
    for (const tail of wanted) {
      if (!tail.request && !tail.problem && !tail.isEmpty) {
        void this._load(tail, Math.min(capacity, PAGE_MAX));
      }
    }
  }

  override dispose(): void {
    this._begin(null);
    super.dispose();
  }

  private async _load(tail: ITail, limit: number): Promise<void> {
    const request = new AbortController();
    tail.request = request;
    this._loading.add(tail);
    try {
      const page = await this._page(tail, limit, request.signal);
      if (!request.signal.aborted) {
        this._add(tail, page);
      }
    } catch (reason) {
      if (!request.signal.aborted) {
        tail.problem = reason as IProblem;
      }
    }
    if (!request.signal.aborted) {
      this._stop(tail);
      this._tell();
    }
  }

  private _page(
    { node, cursor }: ITail,
    limit: number,
    signal: AbortSignal
  ): Promise<IPage> {
    const { name } = node.lake;
    return node.query
      ? this._client.search(name, node.query, cursor, limit, signal)
      : this._client.entries(
          name,
          node.entry?.path ?? '',
          cursor,
          limit,
          signal
        );
  }

  /** Put the rows of a page where its tail is. */
  private _add(tail: ITail, page: IPage): void {
    const index = this._rows.findIndex(row => row.tail === tail);
    const nodes = page.entries.map((entry, place) =>
      this._node(tail.node.lake, entry, tail.node, tail.known + place + 1)
    );
    const rows: Row[] = nodes.map(node => ({ node }));
    tail.known += rows.length;
    tail.cursor = page.next ?? '';
    if (page.next !== null || tail.known === 0) {
      tail.isEmpty = page.next === null;
      rows.push({ tail });
    } else {
      tail.node.tail = null;
    }
    this._rows.splice(index, 1, ...rows);
    this._restore(nodes);
  }

  /** Keep in mind what is open, and selected, among rows that are read anew. */
  private _remember(rows: readonly Row[]): void {
    for (const { node } of rows) {
      if (node?.isOpen) {
        this._reopen.add(node.id);
      }
      if (node && node === this._selected) {
        this._reselect = node.id;
      }
    }
  }

  /** Open and select what was so before it was read anew. */
  private _restore(nodes: readonly INode[]): void {
    for (const node of nodes) {
      if (this._reopen.delete(node.id)) {
        this._unfold(node);
      }
      if (node.id === this._reselect) {
        this._selected = node;
        this._reselect = '';
      }
    }
  }

  private _unfold(node: INode): void {
    node.isOpen = true;
    node.tail = newTail(node);
    const index = this._rows.findIndex(row => isOf(row, node));
    this._rows.splice(index + 1, 0, { tail: node.tail });
  }

  private _fold(node: INode): void {
    const index = this._rows.findIndex(row => isOf(row, node));
    const end = this._endOf(node, index);
    for (const row of this._rows.splice(index + 1, end - index - 1)) {
      if (row.tail) {
        this._stop(row.tail);
      } else if (row.node === this._selected) {
        this._selected = node;
      }
    }
    node.isOpen = false;
    node.tail = null;
  }

  /** The index after the last row that is in a node. */
  private _endOf(node: INode, index: number): number {
    let end = index + 1;
    while (end < this._rows.length && depthOf(this._rows[end]!) > node.depth) {
      end += 1;
    }
    return end;
  }

  private _stop(tail: ITail): void {
    tail.request?.abort();
    tail.request = null;
    this._loading.delete(tail);
  }

  private _begin(query: IQuery | null): void {
    [...this._loading].forEach(tail => this._stop(tail));
    this._rows = [];
    this._query = query;
    this._selected = null;
  }

  private _node(
    lake: ILake,
    entry: IEntry | null,
    parent: INode | null,
    position: number
  ): INode {
    const depth = parent ? parent.depth + 1 : 0;
    // One entry can be in several datasets that are open.
    const id = entry
      ? `${parent?.id ?? ''}\n${entry.path}`
      : `${lake.kind}:${lake.name}`;
    const links = { parent, query: null, tail: null };
    return { id, lake, entry, depth, position, ...links, isOpen: false };
  }

  private _tell(): void {
    this._notes = this._rows.flatMap(({ tail }, index) =>
      tail?.problem ? [index] : []
    );
    this.tellOfChange();
  }

  private _loading = new Set<ITail>();
  private _notes: number[] = [];
  private _query: IQuery | null = null;
  private _reopen = new Set<string>();
  private _reselect = '';
  private _rows: Row[] = [];
  private _selected: INode | null = null;
}

/** Where a row stands: a tail stands among the children that it follows. */
export function depthOf(row: Row): number {
  return row.tail ? row.tail.node.depth + 1 : row.node.depth;
}

/** Whether a lake can be searched. */
export function isSearchable(lake: ILake): boolean {
  return can(lake, 'search') || can(lake, 'search-area');
}

/** The id of a node's row, which is one in the page; paths may hold anything, blanks too. */
export function rowId(node: INode): string {
  return `farlab-lake-${encodeURIComponent(node.id)}`;
}

function isOf(row: Row, node: INode): boolean {
  return !row.tail && row.node === node;
}

function newTail(node: INode): ITail {
  const nothing = { request: null, problem: null, isEmpty: false };
  return { node, cursor: '', known: 0, ...nothing };
}
