import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import { memo } from 'react';

import type { Availability } from '../datalakeAvailability.js';
import { entryIcon } from '../datalakeIcons.js';
import { takesLogin } from '../datalakeLakes.js';
import { availabilityText, entryKindText, sizeText } from '../datalakeText.js';
import type { ISelecting } from '../datalakeKeys.js';
import { lakeNames } from '../datalakeReferences.js';
import type { INode, ITail } from '../datalakeTree.js';
import { DataLakeProblem } from './DataLakeProblem.js';

export interface IDataLakeRowProps {
  node: INode;
  id: string;
  /** Pixels above it. */
  top: number;
  height: number;
  isOpen: boolean;
  isSelected: boolean;
  /** Whether it is the one that keys are about. */
  isCurrent: boolean;
  hasChildren: boolean;
  where: Availability | undefined;
  select: (node: INode, how: ISelecting) => void;
  toggle: (node: INode) => void;
  enter: (node: INode) => void;
  trans: TranslationBundle;
}

/** One entry, or lake. */
export const DataLakeRow = memo(function Row(props: IDataLakeRowProps) {
  const { node, isOpen, isSelected, hasChildren, trans } = props;
  const { entry, lake } = node;
  const Icon = entryIcon(entry);
  const Caret = isOpen ? caretDownIcon : caretRightIcon;
  const kind = entry ? entryKindText(entry.kind, trans) : trans.__('Lake');
  return (
    <div
      id={props.id}
      className={`jp-farlab-LakeRow${isSelected ? ' jp-mod-selected' : ''}${props.isCurrent ? ' jp-mod-current' : ''}`}
      role="row"
      aria-level={node.depth + 1}
      aria-posinset={node.position}
      aria-selected={isSelected}
      aria-expanded={hasChildren ? isOpen : undefined}
      data-kind={entry?.kind ?? 'lake'}
      style={{ top: props.top, height: props.height }}
      title={`${entry?.path ?? lake.title} · ${kind}`}
      onClick={event => props.select(node, event)}
      onContextMenu={() => isSelected || props.select(node, {})}
      onDoubleClick={() =>
        hasChildren ? props.toggle(node) : props.enter(node)
      }
    >
      <span
        className="jp-farlab-LakeRow-name"
        role="gridcell"
        style={{ paddingLeft: 4 + node.depth * 14 }}
      >
        <span
          className="jp-farlab-LakeRow-caret"
          aria-hidden="true"
          onClick={event => {
            event.stopPropagation();
            props.toggle(node);
          }}
          onDoubleClick={event => event.stopPropagation()}
        >
          {hasChildren && <Caret.react tag="span" />}
        </span>
        <Icon.react tag="span" className="jp-farlab-LakeRow-icon" />
        <span className="jp-farlab-LakeRow-text">
          {entry?.name ?? lake.title}
        </span>
      </span>
      <span className="jp-farlab-LakeRow-where" role="gridcell">
        <Where {...props} />
      </span>
      <span className="jp-farlab-LakeRow-size" role="gridcell">
        {entry ? entry.size !== null && sizeText(entry.size) : whoText(props)}
      </span>
    </div>
  );
});

function Where({ node, trans, where }: IDataLakeRowProps): JSX.Element | null {
  const lakes = node.entry ? lakeNames(node.entry) : [];
  if (lakes.length > 0) {
    const words = trans.__('In the lake: %1', lakes.join(', '));
    return (
      <span data-where="in-lake" role="img" aria-label={words} title={words} />
    );
  }
  if (!where) {
    return null;
  }
  const words = availabilityText(where, trans);
  return (
    <span data-where={where} role="img" aria-label={words} title={words} />
  );
}

/** Who one is in a lake. */
function whoText({ node: { lake }, trans }: IDataLakeRowProps): string {
  return lake.logged_in ? (lake.user ?? '') : trans.__('Not logged in');
}

export interface IDataLakeTailProps {
  tail: ITail;
  top: number;
  height: number;
  retry: (tail: ITail) => void;
  logIn: (tail: ITail) => void;
  trans: TranslationBundle;
}

/** What follows the entries that are known: more to come, none, or why there are none. */
export function DataLakeTail(props: IDataLakeTailProps): JSX.Element {
  const { tail, trans } = props;
  return (
    <div
      className="jp-farlab-LakeTail"
      role="row"
      style={{
        top: props.top,
        height: props.height,
        paddingLeft: 24 + (tail.node.depth + 1) * 14
      }}
    >
      <div role="gridcell">
        {tail.problem ? (
          <TailProblem {...props} />
        ) : tail.isEmpty ? (
          emptyText(tail, trans)
        ) : (
          <span aria-busy="true">{trans.__('Loading…')}</span>
        )}
      </div>
    </div>
  );
}

function TailProblem(props: IDataLakeTailProps): JSX.Element | null {
  const { tail, trans } = props;
  const { problem } = tail;
  if (!problem) {
    return null;
  }
  const mayLogIn =
    ['login', 'expired'].includes(problem.code) && takesLogin(tail.node.lake);
  return (
    <DataLakeProblem
      problem={problem}
      retry={() => (mayLogIn ? props.logIn(tail) : props.retry(tail))}
      retryLabel={mayLogIn ? trans.__('Log in…') : undefined}
      trans={trans}
    />
  );
}

function emptyText({ node }: ITail, trans: TranslationBundle): string {
  if (node.query) {
    return trans.__('Nothing matches.');
  }
  return node.entry === null
    ? trans.__('You see nothing in this lake.')
    : trans.__('Nothing is in here.');
}
