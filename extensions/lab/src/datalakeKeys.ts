import type { SelectionModel } from './datalakeSelection.js';
import type { INode, LakeTree } from './datalakeTree.js';

/** The keys that are held down while something is selected. */
export interface ISelecting {
  ctrlKey?: boolean;
  metaKey?: boolean;
  shiftKey?: boolean;
}

/** What keys do things with. */
export interface IKeyTarget {
  tree: LakeTree;
  selection: SelectionModel;
  /** What Enter does with an entry that has nothing in it. */
  enter: (node: INode) => void;
}

/** Select a row: alone, with Shift all up to it, with Control it too. */
export function selectBy(
  selection: SelectionModel,
  node: INode,
  how: ISelecting
): void {
  if (how.shiftKey) {
    selection.extend(node);
  } else if (how.ctrlKey || how.metaKey) {
    selection.toggle(node);
  } else {
    selection.only(node);
  }
}

/**
 * Do what a key means in the tree, as in any tree view.
 *
 * @param page how many rows a screen has
 * @param how the keys that are held down with it
 * @returns whether the key means something
 */
export function pressKey(
  { enter, selection, tree }: IKeyTarget,
  key: string,
  page: number,
  how: ISelecting = {}
): boolean {
  const { rows, selected } = tree;
  if (how.ctrlKey) {
    if (key === ' ' && selected) {
      selection.toggle(selected);
    }
    return key === ' ';
  }
  const index = tree.selectedIndex;
  const move = (to: number, step: 1 | -1) => {
    const node = nearest(tree, to, step);
    if (node) {
      selectBy(selection, node, how);
    }
    return true;
  };
  switch (key) {
    case 'ArrowDown':
      return move(index + 1, 1);
    case 'ArrowUp':
      return move(index < 0 ? 0 : index - 1, -1);
    case 'PageDown':
      return move(Math.min(index + page, rows.length - 1), -1);
    case 'PageUp':
      return move(Math.max(index - page, 0), 1);
    case 'Home':
      return move(0, 1);
    case 'End':
      return move(rows.length - 1, -1);
  }
  if (!selected) {
    return false;
  }
  switch (key) {
    case 'ArrowRight':
      if (selected.isOpen) {
        move(index + 1, 1);
      }
      tree.open(selected);
      return true;
    case 'ArrowLeft':
      if (selected.isOpen) {
        tree.close(selected);
      } else if (selected.parent && selected.parent.depth >= 0) {
        selection.only(selected.parent);
      }
      return true;
    case 'Enter':
      if (!tree.hasChildren(selected)) {
        enter(selected);
      } else if (selected.isOpen) {
        tree.close(selected);
      } else {
        tree.open(selected);
      }
      return true;
  }
  return false;
}

/** The row at a place, or the next one that is no tail. */
function nearest(tree: LakeTree, to: number, step: 1 | -1): INode | null {
  for (let at = to; at >= 0 && at < tree.rows.length; at += step) {
    const row = tree.rows[at]!;
    if (!row.tail) {
      return row.node;
    }
  }
  return null;
}
