import type { TranslationBundle } from '@jupyterlab/translation';

import { Fragment } from 'react';

import { kindIcon } from '../icons.js';
import type { ServerModel } from '../model.js';
import { kindText } from '../text.js';
import type { IPlace } from '../tokens.js';
import { Countdown } from './Countdown.js';

export interface IPlaceViewProps {
  model: ServerModel;
  place: IPlace;
  trans: TranslationBundle;
}

/** The site that this server runs at, the time left, and the facts of its job. */
export function PlaceView({
  model,
  place,
  trans
}: IPlaceViewProps): JSX.Element {
  const Icon = kindIcon(place.kind).react;
  return (
    <>
      <div className="jp-farlab-Site">
        <Icon className="jp-farlab-Site-icon" tag="span" />
        <div>
          <h3 className="jp-farlab-Site-title">
            {place.site_title ?? place.site}
          </h3>
          {place.kind && (
            <span className="jp-farlab-Site-kind">
              {kindText(place.kind, trans)}
            </span>
          )}
        </div>
      </div>
      <Countdown model={model} trans={trans} />
      <Facts place={place} trans={trans} />
    </>
  );
}

/** The facts that are known, as terms and descriptions. */
function Facts({
  place,
  trans
}: Pick<IPlaceViewProps, 'place' | 'trans'>): JSX.Element {
  const facts: [string, string | null][] = [
    // Without a title, the name is the heading already.
    [trans.__('Site'), place.site_title === null ? null : place.site],
    [trans.__('Profile'), place.profile],
    [trans.__('Node'), place.node],
    [trans.__('Job'), place.job_id],
    [trans.__('Workload'), place.workload]
  ];
  return (
    <dl className="jp-farlab-Facts">
      {facts.map(
        ([term, text]) =>
          text !== null && (
            <Fragment key={term}>
              <dt>{term}</dt>
              <dd>{text}</dd>
            </Fragment>
          )
      )}
    </dl>
  );
}
