import { fileIcon, folderIcon, LabIcon } from '@jupyterlab/ui-components';

import areaSvg from '../style/icons/area.svg';
import containerSvg from '../style/icons/container.svg';
import itemSvg from '../style/icons/item.svg';
import datasetSvg from '../style/icons/dataset.svg';
import lakeSvg from '../style/icons/lake.svg';
import type { IEntry } from './datalakeTypes.js';
import { isContainer } from './datalakeTypes.js';

export const lakeIcon = new LabIcon({ name: 'farlab:lake', svgstr: lakeSvg });

const datasetIcon = new LabIcon({
  name: 'farlab:dataset',
  svgstr: datasetSvg
});

const containerIcon = new LabIcon({
  name: 'farlab:container',
  svgstr: containerSvg
});

const itemIcon = new LabIcon({ name: 'farlab:item', svgstr: itemSvg });

/** For searching by area. */
export const areaIcon = new LabIcon({ name: 'farlab:area', svgstr: areaSvg });

/** The icon of an entry; a lake's own for the lake itself. */
export function entryIcon(entry: IEntry | null): LabIcon {
  if (entry === null) {
    return lakeIcon;
  }
  if (entry.kind === 'dataset') {
    return datasetIcon;
  }
  if (entry.kind === 'container') {
    return containerIcon;
  }
  if (entry.kind === 'item') {
    return itemIcon;
  }
  return isContainer(entry) ? folderIcon : fileIcon;
}
