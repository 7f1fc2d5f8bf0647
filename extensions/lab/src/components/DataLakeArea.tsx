import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';

import type { Box } from '../datalakeTypes.js';
import { NumberInput } from './DataLakeFields.js';
import { DataLakeMap } from './DataLakeMap.js';

/** An area and a time to look for; what is empty asks for nothing. */
export interface IArea {
  box: Box | null;
  /** Days such as 2024-01-31. */
  from: string;
  until: string;
}

export const NOWHERE: IArea = { box: null, from: '', until: '' };

export interface IDataLakeAreaProps {
  area: IArea;
  set: (area: IArea) => void;
  trans: TranslationBundle;
}

/** Asks for an area, on a map or in degrees, and for a time. */
export function DataLakeArea({
  area,
  set,
  trans
}: IDataLakeAreaProps): JSX.Element {
  const { box } = area;
  return (
    <div className="jp-farlab-LakeArea">
      <DataLakeMap
        label={
          box
            ? trans.__('The area to search: %1', box.join(', '))
            : trans.__('The Earth: drag to choose an area')
        }
        box={box}
        choose={chosen => set({ ...area, box: chosen })}
        trans={trans}
      />
      <Edges area={area} set={set} trans={trans} />
      <div className="jp-farlab-LakeArea-days">
        {(['from', 'until'] as const).map(which => (
          <label key={which}>
            {which === 'from' ? trans.__('From') : trans.__('Until')}
            <input
              type="date"
              value={area[which]}
              onChange={event => set({ ...area, [which]: event.target.value })}
            />
          </label>
        ))}
      </div>
      {(box || area.from || area.until) && (
        <Button
          type="button"
          className="jp-mod-styled jp-farlab-Action"
          onClick={() => set(NOWHERE)}
        >
          {trans.__('Clear')}
        </Button>
      )}
    </div>
  );
}

function Edges({ area, set, trans }: IDataLakeAreaProps): JSX.Element {
  const names = [
    trans.__('West'),
    trans.__('South'),
    trans.__('East'),
    trans.__('North')
  ];
  const limits = [180, 90, 180, 90];
  const box = area.box ?? [-180, -90, 180, 90];
  return (
    <div className="jp-farlab-LakeArea-edges">
      {names.map((name, place) => (
        <label key={name}>
          {name}
          <NumberInput
            step="any"
            min={-limits[place]!}
            max={limits[place]}
            value={area.box ? box[place]! : null}
            placeholder={String(box[place])}
            set={value => {
              const next = box.map((one, at) => (at === place ? value : one));
              set({ ...area, box: next as unknown as Box });
            }}
          />
        </label>
      ))}
    </div>
  );
}
