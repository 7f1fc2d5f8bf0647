/**
 * The Earth as a drawing: longitude is x, latitude is minus y, in degrees.
 */
import type { Box } from './datalakeTypes.js';

/** The part of the Earth that is drawn. */
export interface IView {
  west: number;
  north: number;
  width: number;
  height: number;
}

export const WORLD: IView = { west: -180, north: 90, width: 360, height: 180 };

/** Degrees of the least that is drawn: less shows nothing that one knows. */
const LEAST = 24;

/** The land, as coarse as one needs to know where one is: longitudes and latitudes in turn. */
// prettier-ignore
export const LAND: readonly (readonly number[])[] = [
  [-168, 66, -156, 71, -128, 70, -95, 72, -82, 68, -94, 59, -82, 55, -78, 62, -64, 60, -56, 52, -65, 47, -70, 42,
   -76, 35, -81, 31, -80, 25, -84, 30, -97, 27, -97, 20, -87, 21, -88, 16, -83, 10, -77, 8, -80, 7, -95, 16,
   -106, 23, -113, 31, -110, 23, -118, 34, -124, 42, -125, 49, -135, 58, -152, 60, -165, 55, -158, 59],
  [-77, 8, -62, 11, -50, 1, -35, -6, -39, -15, -48, -26, -57, -37, -65, -42, -68, -54, -74, -50, -71, -30,
   -71, -18, -81, -6, -80, 1],
  [-10, 36, -9, 43, -2, 44, -4, 48, 3, 51, 9, 57, 11, 54, 20, 55, 24, 60, 22, 66, 17, 61, 11, 58, 5, 60, 12, 66,
   25, 71, 41, 67, 34, 65, 44, 68, 68, 69, 80, 73, 104, 78, 130, 72, 160, 70, 180, 69, 178, 62, 163, 59, 157, 51,
   155, 59, 142, 59, 135, 54, 140, 47, 130, 42, 129, 36, 126, 38, 121, 39, 122, 30, 110, 20, 106, 18, 109, 12,
   104, 9, 100, 13, 104, 1, 98, 9, 97, 17, 91, 22, 80, 15, 77, 8, 72, 20, 66, 25, 57, 26, 50, 30, 56, 24, 59, 22,
   52, 16, 44, 13, 35, 28, 36, 36, 27, 37, 29, 41, 38, 45, 31, 46, 26, 40, 22, 37, 19, 42, 13, 45, 18, 40, 15, 38,
   9, 44, 3, 43, -1, 37],
  [-6, 36, 10, 37, 11, 34, 20, 31, 32, 31, 43, 12, 51, 12, 40, -3, 40, -15, 35, -24, 32, -29, 20, -35, 12, -17,
   13, -6, 9, 1, 8, 4, -8, 4, -17, 14, -16, 22, -10, 30],
  [114, -22, 122, -18, 131, -12, 136, -12, 140, -17, 142, -11, 146, -19, 153, -26, 150, -37, 140, -38, 131, -32,
   117, -35],
  [-45, 60, -22, 70, -20, 80, -33, 83, -60, 82, -71, 77, -54, 70],
  [-5, 50, 1, 51, 0, 53, -3, 58, -6, 57, -3, 54],
  [130, 31, 136, 34, 141, 36, 142, 44, 138, 37, 131, 34],
  [44, -25, 47, -25, 50, -15, 44, -17],
  [131, -1, 141, -3, 150, -10, 138, -8],
  [95, 5, 106, -6, 104, -2],
  [109, 1, 117, 7, 118, 1, 116, -4, 110, -3],
  [173, -35, 178, -38, 170, -46, 167, -46, 173, -41],
  [-180, -78, -150, -77, -100, -73, -62, -64, -60, -75, -35, -78, -10, -71, 50, -67, 100, -66, 150, -69, 165, -78,
   180, -78, 180, -90, -180, -90]
];

/** What to draw to see a box and what is around it. */
export function viewOf(box: Box | null): IView {
  if (!box) {
    return WORLD;
  }
  const [west, south, east, north] = box;
  const across = east >= west ? east - west : east - west + 360;
  const height = Math.max(LEAST / 2, across, (north - south) * 2);
  const width = Math.min(360, height * 2);
  if (width >= 360) {
    return WORLD;
  }
  const middle = west + across / 2;
  const centre = (south + north) / 2;
  return {
    west: middle - width / 2,
    north: Math.min(90, Math.max(-90 + width / 2, centre + width / 4)),
    width,
    height: width / 2
  };
}

/** A line around a box; one over the date line goes on beyond 180 degrees. */
export function boxPath([west, south, east, north]: Box): string {
  const right = east >= west ? east : east + 360;
  return `M${west} ${-south}H${right}V${-north}H${west}Z`;
}

/** The lines of a GeoJSON geometry, whatever it is; empty for none. */
export function geometryPath(geometry: unknown): string {
  const { coordinates, geometries, type } = (geometry ?? {}) as {
    type?: unknown;
    coordinates?: unknown;
    geometries?: unknown;
  };
  if (Array.isArray(geometries)) {
    return geometries.map(geometryPath).join('');
  }
  const close = typeof type === 'string' && type.endsWith('Polygon') ? 'Z' : '';
  return linesIn(coordinates)
    .map(line => pathOf(line) + close)
    .join('');
}

/** The points of a geometry, which lines do not show. */
export function geometryPoints(geometry: unknown): [number, number][] {
  const { coordinates, type } = (geometry ?? {}) as {
    type?: unknown;
    coordinates?: unknown;
  };
  if (type === 'Point' && isPosition(coordinates)) {
    return [coordinates];
  }
  return type === 'MultiPoint' && Array.isArray(coordinates)
    ? coordinates.filter(isPosition)
    : [];
}

/** A box that somebody gave, or else null; four numbers, six where heights are among them. */
export function boxOf(given: unknown): Box | null {
  const numbers = Array.isArray(given)
    ? given.filter(one => typeof one === 'number' && Number.isFinite(one))
    : [];
  const [a, b, c, d, e] = numbers as number[];
  if (numbers.length === 6) {
    return [a!, b!, d!, e!];
  }
  return numbers.length === 4 ? [a!, b!, c!, d!] : null;
}

/** The box between two corners, rounded as one drags it, on the Earth. */
export function boxBetween(
  a: readonly [number, number],
  b: readonly [number, number]
): Box {
  const x = (value: number) => round(Math.max(-180, Math.min(180, value)));
  const y = (value: number) => round(Math.max(-90, Math.min(90, value)));
  return [
    x(Math.min(a[0], b[0])),
    y(Math.min(a[1], b[1])),
    x(Math.max(a[0], b[0])),
    y(Math.max(a[1], b[1]))
  ];
}

/** The meridians or parallels to draw between two degrees: few, and round ones. */
export function gridLines(from: number, span: number): number[] {
  const step = [1, 2, 5, 10, 30, 60].find(one => span / one <= 7) ?? 60;
  const lines: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= from + span; at += step) {
    lines.push(at);
  }
  return lines;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function isPosition(found: unknown): found is [number, number] {
  return (
    Array.isArray(found) &&
    typeof found[0] === 'number' &&
    typeof found[1] === 'number'
  );
}

function linesIn(found: unknown): [number, number][][] {
  if (!Array.isArray(found) || found.length === 0) {
    return [];
  }
  return isPosition(found[0])
    ? [found.filter(isPosition)]
    : found.flatMap(linesIn);
}

function pathOf(line: [number, number][]): string {
  return `M${line.map(([lon, lat]) => `${lon} ${-lat}`).join('L')}`;
}
