import type { TranslationBundle } from '@jupyterlab/translation';
import type { PointerEvent } from 'react';
import { useRef, useState } from 'react';

import {
  boxBetween,
  boxPath,
  geometryPath,
  geometryPoints,
  gridLines,
  LAND,
  viewOf,
  WORLD
} from '../datalakeMap.js';
import type { Box } from '../datalakeTypes.js';

export interface IDataLakeMapProps {
  /** What is seen of it, for those who do not see it. */
  label: string;
  box: Box | null;
  /** GeoJSON, which is drawn instead of the box. */
  geometry?: unknown;
  /** Takes a box that is dragged; without it the map shows the surroundings of what it has. */
  choose?: (box: Box) => void;
  trans: TranslationBundle;
}

const LAND_PATH = LAND.map(outline).join('');

/** The Earth, drawn without asking anybody for tiles. */
export function DataLakeMap(props: IDataLakeMapProps): JSX.Element {
  const { box, choose, geometry, label } = props;
  const view = choose ? WORLD : viewOf(box);
  const drag = useDrag(choose);
  const shown = drag.box ?? box;
  const path = geometry ? geometryPath(geometry) : shown ? boxPath(shown) : '';
  const viewBox = `${view.west} ${-view.north} ${view.width} ${view.height}`;
  return (
    <svg
      className={`jp-farlab-LakeMap${choose ? ' jp-mod-choosing' : ''}`}
      viewBox={viewBox}
      role="img"
      aria-label={label}
      {...drag.handlers}
    >
      <title>{label}</title>
      {[-360, 0, 360].map(shift => (
        <path
          key={shift}
          className="jp-farlab-LakeMap-land"
          d={LAND_PATH}
          transform={`translate(${shift} 0)`}
        />
      ))}
      <path
        className="jp-farlab-LakeMap-grid"
        d={[
          ...gridLines(view.west, view.width).map(lon => `M${lon} -90V90`),
          ...gridLines(view.north - view.height, view.height).map(
            lat => `M${view.west} ${-lat}h${view.width}`
          )
        ].join('')}
      />
      <Degrees {...view} />
      <path className="jp-farlab-LakeMap-area" d={path} />
      {geometryPoints(geometry).map(([lon, lat]) => (
        <circle
          key={`${lon} ${lat}`}
          className="jp-farlab-LakeMap-area"
          cx={lon}
          cy={-lat}
          r={view.width / 90}
        />
      ))}
    </svg>
  );
}

/** The degrees at the edges. */
function Degrees(props: {
  west: number;
  north: number;
  width: number;
  height: number;
}): JSX.Element {
  const { height, north, west, width } = props;
  const size = width / 28;
  const inside = (at: number, from: number, span: number) =>
    at > from + span / 20 && at < from + span * 0.95;
  return (
    <g className="jp-farlab-LakeMap-degrees" fontSize={size} aria-hidden="true">
      {gridLines(west, width)
        .filter(lon => inside(lon, west, width))
        .map(lon => (
          <text key={lon} x={lon} y={-north + height - size / 4}>
            {degrees(((lon + 540) % 360) - 180, 'E', 'W')}
          </text>
        ))}
      {gridLines(north - height, height)
        .filter(lat => inside(lat, north - height, height))
        .map(lat => (
          <text
            key={lat}
            x={west + size / 4}
            y={-lat - size / 5}
            textAnchor="start"
          >
            {degrees(lat, 'N', 'S')}
          </text>
        ))}
    </g>
  );
}

function degrees(value: number, above: string, below: string): string {
  return value === 0 ? '0°' : `${Math.abs(value)}°${value > 0 ? above : below}`;
}

interface IDrag {
  box: Box | null;
  handlers: Partial<
    Record<
      'onPointerDown' | 'onPointerMove' | 'onPointerUp',
      (event: PointerEvent<SVGSVGElement>) => void
    >
  >;
}

function useDrag(choose: ((box: Box) => void) | undefined): IDrag {
  const start = useRef<[number, number] | null>(null);
  const [box, setBox] = useState<Box | null>(null);
  if (!choose) {
    return { box: null, handlers: {} };
  }
  return {
    box,
    handlers: {
      onPointerDown: event => {
        event.currentTarget.setPointerCapture(event.pointerId);
        start.current = place(event);
      },
      onPointerMove: event => {
        if (start.current) {
          setBox(boxBetween(start.current, place(event)));
        }
      },
      onPointerUp: event => {
        const from = start.current;
        start.current = null;
        setBox(null);
        const found = from && boxBetween(from, place(event));
        if (found && found[0] < found[2] && found[1] < found[3]) {
          choose(found);
        }
      }
    }
  };
}

/** Longitude and latitude of the pointer, on a map of the whole Earth. */
function place(event: PointerEvent<SVGSVGElement>): [number, number] {
  const { height, left, top, width } =
    event.currentTarget.getBoundingClientRect();
  return [
    WORLD.west + ((event.clientX - left) / width) * WORLD.width,
    WORLD.north - ((event.clientY - top) / height) * WORLD.height
  ];
}

function outline(numbers: readonly number[]): string {
  const points: string[] = [];
  for (let at = 0; at < numbers.length; at += 2) {
    points.push(`${numbers[at]} ${-numbers[at + 1]!}`);
  }
  return `M${points.join('L')}Z`;
}
