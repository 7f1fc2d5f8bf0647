import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import type { ReactNode } from 'react';

import type { Asked, DetailsModel, ISubject } from '../datalakeDetails.js';
import { inLakes, itemOf } from '../datalakeReferences.js';
import { entryKindText, sizeText, valueText } from '../datalakeText.js';
import type {
  IDetails,
  IReference,
  IReplica,
  IShare
} from '../datalakeTypes.js';
import { can } from '../datalakeTypes.js';
import { AssetPlaces, DataLakeItem, References } from './DataLakeItem.js';
import { DataLakeProblem } from './DataLakeProblem.js';
import { DataLakeRules, IRuleActions } from './DataLakeRules.js';

export interface IDataLakeDetailsProps {
  model: DetailsModel;
  rules: IRuleActions;
  /** Where the picture of an item is. */
  thumbnailUrl: (subject: ISubject) => string;
  /** Shows an entry in the tree. */
  goTo: (to: IReference) => void;
  trans: TranslationBundle;
}

/** Everything about the selected entry. */
export function DataLakeDetails(props: IDataLakeDetailsProps): JSX.Element {
  return (
    <UseSignal signal={props.model.changed}>
      {() => <Sections {...props} />}
    </UseSignal>
  );
}

function Sections(props: IDataLakeDetailsProps): JSX.Element {
  const { goTo, model, rules, trans } = props;
  if (!model.subject) {
    return <p className="jp-farlab-Note">{trans.__('Select an entry.')}</p>;
  }
  const parts = { trans, retry: () => void model.refresh() };
  return (
    <div className="jp-farlab-LakeDetails">
      <Facts {...props} />
      <Describing {...props} />
      {model.where && (
        <Section
          {...parts}
          title={trans.__('In the lakes')}
          asked={model.where}
        >
          {found => <AssetPlaces where={found} goTo={goTo} trans={trans} />}
        </Section>
      )}
      {model.replicas && (
        <Section {...parts} title={trans.__('Replicas')} asked={model.replicas}>
          {found => <Replicas replicas={found} trans={trans} />}
        </Section>
      )}
      {model.shares && (
        <Section
          {...parts}
          title={trans.__('Where it is')}
          asked={model.shares}
        >
          {found => <Shares shares={found} trans={trans} />}
        </Section>
      )}
      {model.rules && (
        <Section {...parts} title={trans.__('Rules')} asked={model.rules}>
          {found => (
            <DataLakeRules rules={found} actions={rules} trans={trans} />
          )}
        </Section>
      )}
      {model.details && (
        <Section {...parts} title={trans.__('Metadata')} asked={model.details}>
          {found => (
            <Metadata
              {...found}
              isEditable={can(model.subject!.lake, 'metadata')}
              trans={trans}
            />
          )}
        </Section>
      )}
      {model.details?.name === 'told' &&
        model.details.value.parents.length > 0 && (
          <Section {...parts} title={trans.__('Part of')} asked={model.details}>
            {found => (
              <References
                references={found.parents.map(({ path }) => ({
                  name: path,
                  to: { lake: model.subject!.lake.name, path },
                  url: null
                }))}
                goTo={goTo}
              />
            )}
          </Section>
        )}
    </div>
  );
}

interface ISectionProps<T> {
  title: string;
  asked: Asked<T>;
  children: (value: T) => ReactNode;
  retry: () => void;
  trans: TranslationBundle;
}

/** A part that comes, or fails, by itself. */
function Section<T>(props: ISectionProps<T>): JSX.Element {
  const { asked, children, title, trans } = props;
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      {asked.name === 'loading' && (
        <p aria-busy="true">{trans.__('Loading…')}</p>
      )}
      {asked.name === 'failed' && (
        <DataLakeProblem {...props} problem={asked.problem} />
      )}
      {asked.name === 'told' && children(asked.value)}
    </section>
  );
}

/** How STAC describes it, and what names it in other lakes. */
function Describing(props: IDataLakeDetailsProps): JSX.Element {
  const { goTo, model, thumbnailUrl, trans } = props;
  const subject = model.subject!;
  const told =
    model.details?.name === 'told' ? model.details.value.entry : null;
  const item = itemOf(told ?? subject.entry);
  const named = model.where ? [] : inLakes(subject.entry);
  return (
    <>
      {(subject.entry.kind === 'item' ||
        subject.entry.kind === 'collection') && (
        <DataLakeItem
          entry={subject.entry}
          thumbnail={thumbnailUrl(subject)}
          trans={trans}
        />
      )}
      {item && (
        <section aria-label={trans.__('STAC item')}>
          <h3>{trans.__('STAC item')}</h3>
          <References references={[item]} goTo={goTo} />
        </section>
      )}
      {named.length > 0 && (
        <section aria-label={trans.__('In the lakes')}>
          <h3>{trans.__('In the lakes')}</h3>
          <References references={named} goTo={goTo} />
        </section>
      )}
    </>
  );
}

/** What the list knows already, and the path on this machine. */
function Facts({ model, trans }: IDataLakeDetailsProps): JSX.Element {
  const { entry, lake } = model.subject!;
  const { checksum, modified, size, state } = entry;
  const facts: [string, string | null][] = [
    [trans.__('Lake'), lake.title],
    [trans.__('Kind'), entryKindText(entry.kind, trans)],
    [trans.__('Size'), size === null ? null : sizeText(size)],
    [trans.__('Changed'), modified === null ? null : dateText(modified)],
    [trans.__('State'), state],
    [trans.__('Checksum'), checksum],
    [trans.__('Path here'), model.here]
  ];
  return (
    <dl className="jp-farlab-Facts">
      {facts.map(
        ([name, value]) =>
          value && (
            <div key={name} role="presentation">
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          )
      )}
    </dl>
  );
}

function Replicas(props: {
  replicas: readonly IReplica[];
  trans: TranslationBundle;
}): JSX.Element {
  const { replicas, trans } = props;
  if (replicas.length === 0) {
    return <p>{trans.__('There is no copy anywhere.')}</p>;
  }
  return (
    <ul>
      {replicas.map(({ path, problem, rse, state }) => (
        <li key={rse}>
          <strong>{rse}</strong> {state}
          {path && ` · ${trans.__('on this machine')}`}
          {problem && <p role="alert">{problem}</p>}
        </li>
      ))}
    </ul>
  );
}

function Shares(props: {
  shares: readonly IShare[];
  trans: TranslationBundle;
}): JSX.Element {
  const { shares, trans } = props;
  if (shares.length === 0) {
    return <p>{trans.__('No site has files of it.')}</p>;
  }
  return (
    <ul>
      {shares.map(({ files, files_there, rse, size_there }) => (
        <li key={rse}>
          <strong>{rse}</strong>{' '}
          {trans.__('%1 of %2 files', files_there, files)}
          {size_there !== null && ` · ${sizeText(size_there)}`}
        </li>
      ))}
    </ul>
  );
}

/** What users have said of it first; what the lake itself says is folded away. */
function Metadata(
  props: IDetails & { isEditable: boolean; trans: TranslationBundle }
): JSX.Element {
  const { editable, metadata, trans } = props;
  const known = Object.entries(metadata).filter(
    ([, value]) => value !== null && value !== ''
  );
  const own = known.filter(([key]) => editable.includes(key));
  const others = known.filter(([key]) => !editable.includes(key));
  if (!props.isEditable) {
    return <Values values={known} />;
  }
  return (
    <>
      {own.length > 0 ? (
        <Values values={own} />
      ) : (
        <p>{trans.__('Nobody has added any.')}</p>
      )}
      <details>
        <summary>{trans.__("The lake's own")}</summary>
        <Values values={others} />
      </details>
    </>
  );
}

function Values(props: { values: readonly [string, unknown][] }): JSX.Element {
  return (
    <dl className="jp-farlab-Facts">
      {props.values.map(([key, value]) => (
        <div key={key} role="presentation">
          <dt>{key}</dt>
          <dd>{valueText(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A moment as people write it. */
function dateText(moment: number): string {
  return new Date(moment * 1000).toLocaleString();
}
