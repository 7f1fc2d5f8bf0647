import { LabIcon } from '@jupyterlab/ui-components';

import cloudSvg from '../style/icons/cloud.svg';
import farlabSvg from '../style/icons/farlab.svg';
import hpcSvg from '../style/icons/hpc.svg';
import htcSvg from '../style/icons/htc.svg';
import identitySvg from '../style/icons/identity.svg';
import quantumSvg from '../style/icons/quantum.svg';
import usageSvg from '../style/icons/usage.svg';
import workloadsSvg from '../style/icons/workloads.svg';
import type { SiteKind } from './tokens.js';

export const farlabIcon = new LabIcon({
  name: 'farlab:farlab',
  svgstr: farlabSvg
});

export const workloadsIcon = new LabIcon({
  name: 'farlab:workloads',
  svgstr: workloadsSvg
});

export const identityIcon = new LabIcon({
  name: 'farlab:identity',
  svgstr: identitySvg
});

export const usageIcon = new LabIcon({
  name: 'farlab:usage',
  svgstr: usageSvg
});

const kindIcons: Record<SiteKind, LabIcon> = {
  cloud: new LabIcon({ name: 'farlab:cloud', svgstr: cloudSvg }),
  hpc: new LabIcon({ name: 'farlab:hpc', svgstr: hpcSvg }),
  htc: new LabIcon({ name: 'farlab:htc', svgstr: htcSvg }),
  quantum: new LabIcon({ name: 'farlab:quantum', svgstr: quantumSvg })
};

/** The icon of a kind of site; Farlab's own where the kind is unknown. */
export function kindIcon(kind: SiteKind | null): LabIcon {
  return (kind && kindIcons[kind]) ?? farlabIcon;
}
