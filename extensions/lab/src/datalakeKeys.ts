import type { INode, LakeTree } from './datalakeTree.js';

/**
 * Do what a key means in the tree, as in any tree view.
 *
 * @param page how many rows a screen has
 * @param enter what Enter does with an entry that has nothing in it
 * @returns whether the key means something
 */
export function pressKey(
  tree: LakeTree,
  key: string,
  page: number,
  enter: (node: INode) => void
): boolean {
  const { rows, selected } = tree;
  const index = tree.selectedIndex;
  const move = (to: number, step: 1 | -1) => selectNear(tree, to, step);
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
        tree.select(selected.parent);
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

/** Select the row at a place, or the next one that is no tail. */
function selectNear(tree: LakeTree, to: number, step: 1 | -1): boolean {
  for (let at = to; at >= 0 && at < tree.rows.length; at += step) {
    const row = tree.rows[at]!;
    if (!row.tail) {
      tree.select(row.node);
      return true;
    }
  }
  return true;
}
