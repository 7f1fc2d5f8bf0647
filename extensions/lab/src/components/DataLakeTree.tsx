import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import { useEffect, useMemo, useRef, useState } from 'react';

import type { AvailabilityModel } from '../datalakeAvailability.js';
import { ISelecting, pressKey, selectBy } from '../datalakeKeys.js';
import type { SelectionModel } from '../datalakeSelection.js';
import { INode, ITail, LakeTree, Row, rowId } from '../datalakeTree.js';
import { IRange, ROW, RowHeights, rowsFor } from '../datalakeWindow.js';
import { DataLakeRow, DataLakeTail } from './DataLakeRow.js';

export interface IDataLakeTreeProps {
  tree: LakeTree;
  availability: AvailabilityModel;
  selection: SelectionModel;
  /** What Enter or a double click does with a file. */
  enter: (node: INode) => void;
  logIn: (tail: ITail) => void;
  trans: TranslationBundle;
}

/** The tree of which only the rows on the screen are in the page. */
export function DataLakeTree(props: IDataLakeTreeProps): JSX.Element {
  return (
    <UseSignal signal={props.tree.changed}>
      {() => <Grid {...props} />}
    </UseSignal>
  );
}

function Grid(props: IDataLakeTreeProps): JSX.Element {
  const { tree, trans } = props;
  const box = useRef<HTMLDivElement>(null);
  const { top, height, measure } = useSeen(box);
  const heights = new RowHeights(tree.rows.length, tree.notes);
  const range = heights.window(top, height);
  useEffect(() => {
    if (height > 0) {
      tree.look(range, rowsFor(height));
      props.availability.look(nodesIn(tree.rows, heights.seen(top, height)));
    }
  });
  const reveal = () => {
    const index = tree.selectedIndex;
    if (box.current && index >= 0) {
      const now = new RowHeights(tree.rows.length, tree.notes);
      box.current.scrollTop = now.scrollTo(
        index,
        box.current.scrollTop,
        box.current.clientHeight
      );
    }
  };
  const { selected } = tree;
  return (
    <div
      ref={box}
      className="jp-farlab-LakeTree"
      role="treegrid"
      tabIndex={0}
      aria-label={trans.__('Lakes')}
      aria-activedescendant={selected ? rowId(selected) : undefined}
      aria-multiselectable={true}
      aria-colcount={3}
      aria-rowcount={-1}
      onScroll={measure}
      onKeyDown={event => {
        if (isMenuKey(event)) {
          event.preventDefault();
          openMenu(box.current, selected);
          return;
        }
        const page = Math.max(1, Math.floor(height / ROW) - 1);
        if (
          event.target === event.currentTarget &&
          !(event.altKey || event.metaKey) &&
          pressKey(props, event.key, page, event)
        ) {
          event.preventDefault();
          event.stopPropagation();
          reveal();
        }
      }}
    >
      <div role="presentation" style={{ height: heights.total }}>
        <Rows {...props} range={range} heights={heights} />
      </div>
    </div>
  );
}

interface IRowsProps extends IDataLakeTreeProps {
  range: IRange;
  heights: RowHeights;
}

function Rows(props: IRowsProps): JSX.Element {
  const { tree, availability, heights, range, selection } = props;
  const select = useMemo(
    () => (node: INode, how: ISelecting) => selectBy(selection, node, how),
    [selection]
  );
  const toggle = useMemo(
    () => (node: INode) => (node.isOpen ? tree.close(node) : tree.open(node)),
    [tree]
  );
  return (
    <UseSignal signal={availability.changed}>
      {() => (
        <UseSignal signal={selection.changed}>
          {() => (
            <>
              {tree.rows.slice(range.first, range.end).map((row, place) => {
                const index = range.first + place;
                const box = {
                  top: heights.top(index),
                  height: heights.height(index)
                };
                return row.tail ? (
                  <DataLakeTail
                    key={`${row.tail.node.id}\n`}
                    tail={row.tail}
                    {...box}
                    retry={tail => tree.retry(tail)}
                    logIn={props.logIn}
                    trans={props.trans}
                  />
                ) : (
                  <DataLakeRow
                    key={row.node.id}
                    id={rowId(row.node)}
                    node={row.node}
                    {...box}
                    isOpen={row.node.isOpen}
                    isSelected={selection.has(row.node)}
                    isCurrent={row.node === tree.selected}
                    hasChildren={tree.hasChildren(row.node)}
                    where={availability.of(row.node)}
                    select={select}
                    toggle={toggle}
                    enter={props.enter}
                    trans={props.trans}
                  />
                );
              })}
            </>
          )}
        </UseSignal>
      )}
    </UseSignal>
  );
}

/** Whether somebody asks for the context menu without a mouse. */
function isMenuKey(event: React.KeyboardEvent): boolean {
  return event.key === 'ContextMenu' || (event.shiftKey && event.key === 'F10');
}

/** Open the context menu of the selected row, below its name. */
function openMenu(box: HTMLElement | null, selected: INode | null): void {
  const row = selected && box?.querySelector(`#${CSS.escape(rowId(selected))}`);
  if (row) {
    const { bottom, left } = row.getBoundingClientRect();
    const place = { clientX: left + 48, clientY: bottom };
    row.dispatchEvent(
      new MouseEvent('contextmenu', {
        bubbles: true,
        cancelable: true,
        ...place
      })
    );
  }
}

/** Which part of a box is seen; measured anew when it is scrolled or changes its size. */
function useSeen(box: React.RefObject<HTMLDivElement>): {
  top: number;
  height: number;
  measure: () => void;
} {
  const [seen, setSeen] = useState({ top: 0, height: 0 });
  const measure = useMemo(
    () => () => {
      const { scrollTop = 0, clientHeight = 0 } = box.current ?? {};
      setSeen({ top: scrollTop, height: clientHeight });
    },
    [box]
  );
  useEffect(() => {
    const observer = new ResizeObserver(measure);
    if (box.current) {
      observer.observe(box.current);
    }
    return () => observer.disconnect();
  }, [box, measure]);
  return { ...seen, measure };
}

function nodesIn(rows: readonly Row[], range: IRange): INode[] {
  return rows
    .slice(range.first, range.end)
    .flatMap(row => (row.tail ? [] : [row.node]));
}
