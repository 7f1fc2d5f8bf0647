import type { TranslationBundle } from '@jupyterlab/translation';
import { useState } from 'react';

import { boxOf } from '../datalakeMap.js';
import type { INamedReference } from '../datalakeReferences.js';
import { timeText } from '../datalakeTime.js';
import type {
  IAssetPlace,
  IEntry,
  IReference,
  IWhere
} from '../datalakeTypes.js';
import { DataLakeMap } from './DataLakeMap.js';

export interface IDataLakeItemProps {
  entry: IEntry;
  /** Where the picture of it is. */
  thumbnail: string;
  trans: TranslationBundle;
}

/** What an item or a collection looks like, and where and when it is. */
export function DataLakeItem(props: IDataLakeItemProps): JSX.Element {
  const { entry, thumbnail, trans } = props;
  const box = boxOf(entry.more.bbox);
  const time = timeText(entry.more.time);
  const outside =
    typeof entry.more.thumbnail === 'string' ? entry.more.thumbnail : null;
  return (
    <div className="jp-farlab-LakeItem">
      {outside && (
        <Thumbnail
          key={entry.path}
          inside={thumbnail}
          outside={outside}
          name={entry.name}
          trans={trans}
        />
      )}
      {box && (
        <DataLakeMap
          label={trans.__('Where it is: %1', box.join(', '))}
          box={box}
          geometry={entry.more.geometry}
          trans={trans}
        />
      )}
      {(box || time) && (
        <p>
          {[
            time,
            box &&
              trans.__('%1° to %2°, %3° to %4°', box[0], box[2], box[1], box[3])
          ]
            .filter(Boolean)
            .join(' · ')}
        </p>
      )}
    </div>
  );
}

interface IThumbnailProps {
  inside: string;
  outside: string;
  name: string;
  trans: TranslationBundle;
}

/** The picture, as far as it is in the lakes: nothing is asked of other servers unasked. */
function Thumbnail(props: IThumbnailProps): JSX.Element {
  const { inside, name, outside, trans } = props;
  const [hasFailed, setFailed] = useState(false);
  if (hasFailed) {
    return (
      <p>
        <a href={outside} target="_blank" rel="noopener noreferrer">
          {trans.__('See its picture at %1', hostOf(outside))}
        </a>
      </p>
    );
  }
  return (
    <img
      src={inside}
      alt={trans.__('Picture of %1', name)}
      onError={() => setFailed(true)}
    />
  );
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url;
}

export interface IReferencesProps {
  references: readonly INamedReference[];
  /** Shows an entry in the tree. */
  goTo: (to: IReference) => void;
}

/** Links that lead to other lakes. */
export function References(props: IReferencesProps): JSX.Element {
  return (
    <ul>
      {props.references.map(({ name, to, url }) => (
        <li key={name}>
          {to ? (
            <button
              type="button"
              className="jp-farlab-Link"
              onClick={() => props.goTo(to)}
            >
              {name}
            </button>
          ) : url ? (
            <a href={url} target="_blank" rel="noopener noreferrer">
              {name}
            </a>
          ) : (
            name
          )}
        </li>
      ))}
    </ul>
  );
}

/** Where an item's assets are in the lakes. */
export function AssetPlaces(props: {
  where: IWhere;
  goTo: (to: IReference) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { goTo, trans, where } = props;
  const assets = Object.entries(where.assets);
  return (
    <>
      {where.dataset && (
        <References
          references={[{ ...named(where.dataset), url: null }]}
          goTo={goTo}
        />
      )}
      <dl className="jp-farlab-Facts">
        {assets.map(([key, places]) => (
          <div key={key} role="presentation">
            <dt>{key}</dt>
            <dd>
              {places.length === 0
                ? trans.__('in no lake')
                : places.map(place => (
                    <Place
                      key={`${place.lake} ${place.path}`}
                      place={place}
                      goTo={goTo}
                      trans={trans}
                    />
                  ))}
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function Place(props: {
  place: IAssetPlace;
  goTo: (to: IReference) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { goTo, place, trans } = props;
  const where = place.here
    ? trans.__('on this machine')
    : place.rses.join(', ');
  return (
    <div>
      <button
        type="button"
        className="jp-farlab-Link"
        onClick={() => goTo(place)}
      >
        {named(place).name}
      </button>
      {where && ` · ${where}`}
    </div>
  );
}

function named(to: IReference): { name: string; to: IReference } {
  return { name: `${to.lake}: ${to.path}`, to };
}
