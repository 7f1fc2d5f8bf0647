import type { ISubject } from './datalakeDetails.js';
import type { INode, LakeTree } from './datalakeTree.js';
import type { IEntry, ILake } from './datalakeTypes.js';
import { isStorage } from './datalakeTypes.js';
import { Observable } from './observable.js';

/**
 * The rows that are chosen together. The one that is selected in the tree is among them, or it is
 * the only one.
 */
export class SelectionModel extends Observable {
  constructor(private readonly _tree: LakeTree) {
    super();
    _tree.changed.connect(() => this._follow());
  }

  has(node: INode): boolean {
    return this._nodes.size > 0
      ? this._nodes.has(node)
      : node === this._tree.selected;
  }

  /** What is chosen, in the order in which it was, all of one lake. */
  get subjects(): ISubject[] {
    const { selected } = this._tree;
    const nodes = this._nodes.size > 0 ? [...this._nodes] : [selected];
    return nodes.flatMap(node => {
      const subject = node && subjectOf(node);
      return subject && subject.lake === selected?.lake ? [subject] : [];
    });
  }

  /** The dataset or folder in which all that is chosen is; null where there is no one. */
  get parent(): INode | null {
    const nodes =
      this._nodes.size > 0 ? [...this._nodes] : [this._tree.selected];
    const parents = new Set(nodes.map(node => node?.parent ?? null));
    const [only = null] = parents;
    return parents.size === 1 && only !== null && only.depth >= 0 ? only : null;
  }

  /** Choose this one alone. */
  only(node: INode): void {
    this._anchor = node;
    this._set(new Set(), node);
  }

  /** Choose this one too, or not any more. */
  toggle(node: INode): void {
    const nodes = this._all();
    if (nodes.has(node) && nodes.size > 1) {
      nodes.delete(node);
    } else {
      nodes.add(node);
    }
    this._anchor = node;
    const last = nodes.has(node) ? node : [...nodes].at(-1)!;
    this._set(nodes, last);
  }

  /** Choose all from where one began to this one. */
  extend(node: INode): void {
    const { rows } = this._tree;
    const from = this._anchor ?? this._tree.selected ?? node;
    const places = [from, node].map(one =>
      rows.findIndex(row => row.node === one)
    );
    const [first, last] = [Math.min(...places), Math.max(...places)];
    if (first < 0) {
      this.only(node);
      return;
    }
    const nodes = rows
      .slice(first, last + 1)
      .flatMap(row => (row.node?.entry ? [row.node] : []));
    this._anchor = from;
    this._set(new Set(nodes), node);
  }

  private _all(): Set<INode> {
    const { selected } = this._tree;
    return this._nodes.size > 0
      ? new Set(this._nodes)
      : new Set(selected ? [selected] : []);
  }

  private _set(nodes: Set<INode>, selected: INode): void {
    this._isOurs = true;
    this._nodes = nodes.size > 1 ? nodes : new Set();
    this._tree.select(selected);
    this._isOurs = false;
    this.tellOfChange();
  }

  /** What is selected otherwise, or has left the tree, ends the choice. */
  private _follow(): void {
    const { selected } = this._tree;
    if (this._isOurs || this._nodes.size === 0) {
      return;
    }
    if (!selected || !this._nodes.has(selected)) {
      this._nodes = new Set();
      this._anchor = selected;
      this.tellOfChange();
    }
  }

  private _anchor: INode | null = null;
  private _isOurs = false;
  private _nodes = new Set<INode>();
}

/** What a row is about. A storage itself is its outermost folder; other lakes are nothing. */
export function subjectOf({ entry, lake }: INode): ISubject | null {
  if (entry) {
    return { entry, lake };
  }
  return isStorage(lake) ? { entry: rootOf(lake), lake } : null;
}

function rootOf({ title }: ILake): IEntry {
  const unknown = { size: null, modified: null, checksum: null, state: null };
  return { name: title, path: '', kind: 'folder', ...unknown, more: {} };
}
