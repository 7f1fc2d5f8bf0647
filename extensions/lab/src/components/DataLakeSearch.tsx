import type { TranslationBundle } from '@jupyterlab/translation';
import { closeIcon, searchIcon, UseSignal } from '@jupyterlab/ui-components';
import { useId, useState } from 'react';

import type { LakesModel } from '../datalakeLakes.js';
import { parseQuery, scopeOf } from '../datalakeSearch.js';
import type { SuggestionsModel } from '../datalakeSuggestions.js';
import { isSearchable, LakeTree } from '../datalakeTree.js';
import type { ILake } from '../datalakeTypes.js';

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
  const searchable = lakes.lakes.filter(isSearchable);
  const lake = chosenLake(searchable, chosen, tree);
  const clear = () => {
    setTyped('');
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
        if (typed.trim()) {
          setChosen(lake.name);
          tree.search(lake, parseQuery(typed, below(lake, tree)));
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
          typed={typed}
          suggestions={suggestions}
          type={words => {
            setTyped(words);
            suggestions.look(lake, words);
          }}
          trans={trans}
        />
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
  typed: string;
  suggestions: SuggestionsModel;
  type: (words: string) => void;
  trans: TranslationBundle;
}

function Words({ typed, suggestions, type, trans }: IWordsProps): JSX.Element {
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
        placeholder={trans.__('scope:name* key=value')}
        title={trans.__(
          'A pattern of names with *, in the scope that is selected or that comes before a ' +
            'colon; then metadata as key=value, key>value and so on'
        )}
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
