import { fileIcon, folderIcon, LabIcon } from '@jupyterlab/ui-components';

import datasetSvg from '../style/icons/dataset.svg';
import lakeSvg from '../style/icons/lake.svg';
import type { IEntry } from './datalakeTypes.js';
import { isContainer } from './datalakeTypes.js';

export const lakeIcon = new LabIcon({ name: 'farlab:lake', svgstr: lakeSvg });

const datasetIcon = new LabIcon({
  name: 'farlab:dataset',
  svgstr: datasetSvg
});

/** The icon of an entry; a lake's own for the lake itself. */
export function entryIcon(entry: IEntry | null): LabIcon {
  if (entry === null) {
    return lakeIcon;
  }
  if (entry.kind === 'dataset' || entry.kind === 'container') {
    return datasetIcon;
  }
  return isContainer(entry) ? folderIcon : fileIcon;
}
