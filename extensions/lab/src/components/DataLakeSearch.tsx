import type { TranslationBundle } from '@jupyterlab/translation';
import { closeIcon, searchIcon, UseSignal } from '@jupyterlab/ui-components';
import { useId, useState } from 'react';

import { areaIcon } from '../datalakeIcons.js';
import type { LakesModel } from '../datalakeLakes.js';
import { parseQuery, scopeOf } from '../datalakeSearch.js';
import type { SuggestionsModel } from '../datalakeSuggestions.js';
import { isSearchable, LakeTree } from '../datalakeTree.js';
import { intervalOf } from '../datalakeTime.js';
import type { ILake, IQuery } from '../datalakeTypes.js';
import { can } from '../datalakeTypes.js';
import { DataLakeArea, IArea, NOWHERE } from './DataLakeArea.js';

export interface IDataLakeSearchProps {
  lakes: LakesModel;
  suggestions: SuggestionsModel;
  tree: LakeTree;
  trans: TranslationBundle;
}

/** Searches one lake, by a pattern of names and by metadata; the tree then shows what is found. */
export function DataLakeSearch(props: IDataLakeSearchProps): JSX.Element {
  const { lakes, suggestions, tree, trans } = props;
  const [typed, setTyped] = useState('');
  const [chosen, setChosen] = useState('');
  const [area, setArea] = useState(NOWHERE);
  const [isAreaOpen, setAreaOpen] = useState(false);
  const searchable = lakes.lakes.filter(isSearchable);
  const lake = chosenLake(searchable, chosen, tree);
  const wanted = lake && queryOf(typed, area, lake, tree);
  const clear = () => {
    setTyped('');
    setArea(NOWHERE);
    setAreaOpen(false);
    tree.show(lakes.lakes);
  };
  if (!lake) {
    return <></>;
  }
  return (
    <form
      className="jp-farlab-LakeSearch"
      role="search"
      onSubmit={event => {
        event.preventDefault();
        if (wanted) {
          setChosen(lake.name);
          setAreaOpen(false); // what is found needs the room
          tree.search(lake, wanted);
        } else {
          clear();
        }
      }}
      onKeyDown={event => event.key === 'Escape' && clear()}
    >
      {searchable.length > 1 && (
        <Choice
          lakes={searchable}
          chosen={lake}
          choose={setChosen}
          trans={trans}
        />
      )}
      <span className="jp-farlab-LakeSearch-box">
        <Words
          lake={lake}
          typed={typed}
          suggestions={suggestions}
          type={words => {
            setTyped(words);
            suggestions.look(lake, words);
          }}
          trans={trans}
        />
        {can(lake, 'search-area') && (
          <button
            type="button"
            aria-expanded={isAreaOpen}
            data-active={area !== NOWHERE}
            title={trans.__('Area and time')}
            onClick={() => setAreaOpen(!isAreaOpen)}
          >
            <areaIcon.react tag="span" />
          </button>
        )}
        <button type="submit" title={trans.__('Search %1', lake.title)}>
          <searchIcon.react tag="span" />
        </button>
        {tree.query && (
          <button
            type="button"
            title={trans.__('End the search')}
            onClick={clear}
          >
            <closeIcon.react tag="span" />
          </button>
        )}
      </span>
      {isAreaOpen && can(lake, 'search-area') && (
        <DataLakeArea area={area} set={setArea} trans={trans} />
      )}
    </form>
  );
}

interface IChoiceProps {
  lakes: readonly ILake[];
  chosen: ILake;
  choose: (name: string) => void;
  trans: TranslationBundle;
}

function Choice({ lakes, chosen, choose, trans }: IChoiceProps): JSX.Element {
  return (
    <select
      aria-label={trans.__('Lake to search')}
      value={chosen.name}
      onChange={event => choose(event.target.value)}
    >
      {lakes.map(({ name, title }) => (
        <option key={name} value={name}>
          {title}
        </option>
      ))}
    </select>
  );
}

interface IWordsProps {
  lake: ILake;
  typed: string;
  suggestions: SuggestionsModel;
  type: (words: string) => void;
  trans: TranslationBundle;
}

function Words(props: IWordsProps): JSX.Element {
  const { lake, suggestions, trans, type, typed } = props;
  const id = useId();
  return (
    <>
      <input
        type="text"
        list={id}
        value={typed}
        spellCheck={false}
        autoComplete="off"
        aria-label={trans.__('Search')}
        placeholder={exampleText(lake, trans)}
        disabled={!can(lake, 'search') && !can(lake, 'search-metadata')}
        title={
          lake.kind === 'rucio'
            ? trans.__(
                'A pattern of names with *, in the scope that is selected or that comes before a ' +
                  'colon; then metadata as key=value, key>value and so on'
              )
            : trans.__(
                'In the collection that is selected; metadata as key=value, key>value and so on'
              )
        }
        onChange={event => type(event.target.value)}
      />
      <UseSignal signal={suggestions.changed}>
        {() => (
          <datalist id={id}>
            {suggestions.list.map(one => (
              <option key={one} value={one} />
            ))}
          </datalist>
        )}
      </UseSignal>
    </>
  );
}

/** What can be typed for a lake. */
function exampleText(lake: ILake, trans: TranslationBundle): string {
  if (lake.kind === 'rucio') {
    return trans.__('scope:name* key=value');
  }
  if (can(lake, 'search')) {
    return trans.__('words key=value');
  }
  return can(lake, 'search-metadata')
    ? trans.__('key=value')
    : trans.__('by area and time');
}

/** What is asked for; null: nothing. */
function queryOf(
  typed: string,
  area: IArea,
  lake: ILake,
  tree: LakeTree
): IQuery | null {
  const { box, from, until } = can(lake, 'search-area') ? area : NOWHERE;
  const time = intervalOf(from, until);
  if (!typed.trim() && !box && !time) {
    return null;
  }
  return {
    ...parseQuery(typed, below(lake, tree), lake.kind === 'rucio'),
    bbox: box ?? undefined,
    time: time || undefined
  };
}

/** The lake to search: the one that was chosen, or else that of the selected row. */
function chosenLake(
  lakes: readonly ILake[],
  chosen: string,
  tree: LakeTree
): ILake | undefined {
  const name = chosen || tree.selected?.lake.name;
  return lakes.find(lake => lake.name === name) ?? lakes[0];
}

/** Where to search if no scope is typed. */
function below(lake: ILake, { query, selected }: LakeTree): string {
  const path =
    selected?.lake.name === lake.name ? selected.entry?.path : undefined;
  const known = path ?? query?.path ?? '';
  return lake.kind === 'rucio' ? scopeOf(known) : known;
}
