import type { TranslationBundle } from '@jupyterlab/translation';
import { Button, UseSignal } from '@jupyterlab/ui-components';
import { useEffect } from 'react';

import type { ChooserModel } from '../datalakeChooser.js';
import { entryIcon } from '../datalakeIcons.js';
import type { ILake } from '../datalakeTypes.js';
import { DataLakeProblem } from './DataLakeProblem.js';
import { SelectField } from './DataLakeFields.js';

export interface IDataLakeChooserProps {
  model: ChooserModel;
  /** The lakes to choose from. */
  lakes: readonly ILake[];
  /** Takes where one is now. */
  chosen: (lake: ILake, path: string) => void;
  label: string;
  trans: TranslationBundle;
}

/** Goes through the folders of a lake to the one that is meant. */
export function DataLakeChooser(props: IDataLakeChooserProps): JSX.Element {
  const { chosen, lakes, model, trans } = props;
  const go = (lake: ILake, path: string) => {
    model.go(lake, path);
    chosen(lake, path);
  };
  useEffect(() => () => model.dispose(), [model]);
  return (
    <UseSignal signal={model.changed}>
      {() => (
        <div className="jp-farlab-LakeChooser">
          {lakes.length > 1 && (
            <SelectField
              label={trans.__('Lake')}
              value={model.lake.name}
              options={lakes.map(({ name, title }) => [name, title])}
              set={name =>
                go(
                  lakes.find(one => one.name === name)!,
                  ''
                )
              }
            />
          )}
          <Way {...props} go={path => go(model.lake, path)} />
          <List {...props} go={path => go(model.lake, path)} />
        </div>
      )}
    </UseSignal>
  );
}

interface IPartProps extends IDataLakeChooserProps {
  go: (path: string) => void;
}

function Way({ go, model, trans }: IPartProps): JSX.Element {
  const { way } = model;
  return (
    <nav
      className="jp-farlab-LakeChooser-way"
      aria-label={trans.__('Where you are')}
    >
      {way.map(({ name, path }, place) => (
        <span key={path}>
          {place > 0 && <span aria-hidden="true"> / </span>}
          <button
            type="button"
            aria-current={place === way.length - 1 ? 'location' : undefined}
            onClick={() => go(path)}
          >
            {name}
          </button>
        </span>
      ))}
    </nav>
  );
}

function List({ go, label, model, trans }: IPartProps): JSX.Element {
  const { entries, hasMore, isLoading, problem } = model;
  return (
    <div className="jp-farlab-LakeChooser-list">
      <ul aria-label={label}>
        {entries.map(entry => {
          const Icon = entryIcon(entry);
          return (
            <li key={entry.path}>
              <button
                type="button"
                title={entry.path}
                onClick={() => go(entry.path)}
              >
                <Icon.react tag="span" /> {entry.name}
              </button>
            </li>
          );
        })}
      </ul>
      {isLoading && <p aria-busy="true">{trans.__('Loading…')}</p>}
      {problem && (
        <DataLakeProblem
          problem={problem}
          retry={() => model.more()}
          trans={trans}
        />
      )}
      {!isLoading && !problem && entries.length === 0 && !hasMore && (
        <p>{trans.__('There is nothing to go into here.')}</p>
      )}
      {!isLoading && !problem && hasMore && (
        <Button
          className="jp-mod-styled jp-farlab-Action"
          onClick={() => model.more()}
        >
          {trans.__('Show more')}
        </Button>
      )}
    </div>
  );
}
