import type { TranslationBundle } from '@jupyterlab/translation';
import { addIcon, Button, closeIcon } from '@jupyterlab/ui-components';
import type { InputHTMLAttributes, ReactNode } from 'react';
import { useId, useState } from 'react';

import type { IPair } from '../datalakeMetadata.js';
import { doubleKey } from '../datalakeMetadata.js';

export interface ITextFieldProps {
  label: string;
  value: string;
  set: (value: string) => void;
  placeholder?: string;
  suggestions?: readonly string[];
  note?: string;
}

/** A line of text with its name. */
export function TextField(props: ITextFieldProps): JSX.Element {
  const { label, note, placeholder, set, suggestions, value } = props;
  const id = useId();
  const list = suggestions?.length ? id : undefined;
  return (
    <label>
      {label}
      <input
        type="text"
        className="jp-mod-styled"
        value={value}
        placeholder={placeholder}
        list={list}
        spellCheck={false}
        autoComplete="off"
        onChange={event => set(event.target.value)}
      />
      {list && (
        <datalist id={list}>
          {suggestions?.map(one => (
            <option key={one} value={one} />
          ))}
        </datalist>
      )}
      {note && <small>{note}</small>}
    </label>
  );
}

export interface IDaysFieldProps {
  label: string;
  /** Null: for good. */
  days: number | null;
  set: (days: number | null) => void;
  trans: TranslationBundle;
}

/** For how many days, or for good. */
export function DaysField(props: IDaysFieldProps): JSX.Element {
  const { days, label, set, trans } = props;
  return (
    <div className="jp-farlab-LakeForm-line">
      <label>
        {label}
        <NumberInput
          className="jp-mod-styled"
          min={1}
          value={days}
          disabled={days === null}
          set={value => set(Math.max(1, Math.round(value)))}
        />
      </label>
      <Check
        label={trans.__('For good')}
        checked={days === null}
        set={forGood => set(forGood ? null : 14)}
      />
    </div>
  );
}

export interface INumberInputProps extends Omit<
  InputHTMLAttributes<HTMLInputElement>,
  'onBlur' | 'onChange' | 'type' | 'value'
> {
  value: number | null;
  set: (value: number) => void;
}

/** A number; while it is typed it may be half of one, such as a minus sign. */
export function NumberInput(props: INumberInputProps): JSX.Element {
  const { set, value, ...others } = props;
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <input
      {...others}
      type="number"
      value={typed ?? value ?? ''}
      onChange={event => {
        setTyped(event.target.value);
        if (!Number.isNaN(event.target.valueAsNumber)) {
          set(event.target.valueAsNumber);
        }
      }}
      onBlur={() => setTyped(null)}
    />
  );
}

/** Something that is so, or is not. */
export function Check(props: {
  label: string;
  checked: boolean;
  set: (checked: boolean) => void;
}): JSX.Element {
  return (
    <label className="jp-farlab-LakeForm-check">
      <input
        type="checkbox"
        checked={props.checked}
        onChange={event => props.set(event.target.checked)}
      />
      {props.label}
    </label>
  );
}

/** One of several. */
export function SelectField(props: {
  label: string;
  value: string;
  options: readonly (readonly [value: string, label: string])[];
  set: (value: string) => void;
}): JSX.Element {
  return (
    <label>
      {props.label}
      <select
        className="jp-mod-styled"
        value={props.value}
        onChange={event => props.set(event.target.value)}
      >
        {props.options.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Fields that belong together. */
export function Group(props: {
  title: string;
  children: ReactNode;
}): JSX.Element {
  return (
    <fieldset>
      <legend>{props.title}</legend>
      {props.children}
    </fieldset>
  );
}

export interface IPairsFieldProps {
  pairs: readonly IPair[];
  set: (pairs: IPair[]) => void;
  trans: TranslationBundle;
}

/** Keys and values as a table in which rows are added and removed. */
export function PairsField(props: IPairsFieldProps): JSX.Element {
  const { pairs, set, trans } = props;
  const double = doubleKey(pairs);
  const change = (place: number, part: Partial<IPair>) =>
    set(pairs.map((one, at) => (at === place ? { ...one, ...part } : one)));
  return (
    <div className="jp-farlab-LakePairs">
      {pairs.length > 0 && (
        <table aria-label={trans.__('Metadata')}>
          <thead>
            <tr>
              <th scope="col">{trans.__('Key')}</th>
              <th scope="col">{trans.__('Value')}</th>
              <th scope="col" aria-label={trans.__('Remove')} />
            </tr>
          </thead>
          <tbody>
            {pairs.map(({ key, value }, place) => (
              <tr key={place}>
                <td>
                  <input
                    className="jp-mod-styled"
                    aria-label={trans.__('Key %1', place + 1)}
                    value={key}
                    spellCheck={false}
                    onChange={event =>
                      change(place, { key: event.target.value })
                    }
                  />
                </td>
                <td>
                  <input
                    className="jp-mod-styled"
                    aria-label={
                      key
                        ? trans.__('Value of %1', key)
                        : trans.__('Value %1', place + 1)
                    }
                    value={value}
                    spellCheck={false}
                    onChange={event =>
                      change(place, { value: event.target.value })
                    }
                  />
                </td>
                <td>
                  <button
                    type="button"
                    className="jp-farlab-IconButton"
                    title={trans.__('Remove %1', key || place + 1)}
                    onClick={() => set(pairs.filter((_, at) => at !== place))}
                  >
                    <closeIcon.react tag="span" />
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {double !== null && (
        <p role="alert">
          {trans.__('%1 is there twice: the last one counts.', double)}
        </p>
      )}
      <Button
        className="jp-mod-styled jp-farlab-Action"
        onClick={() => set([...pairs, { key: '', value: '' }])}
      >
        <addIcon.react tag="span" /> {trans.__('Add a key')}
      </Button>
    </div>
  );
}
