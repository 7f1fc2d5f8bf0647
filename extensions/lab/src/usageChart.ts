/**
 * Rows of usage as stacked bars.
 */
import type { IUsageRow, Quantity } from './usageTypes.js';

/** One colour's part of every bar. */
export interface IStack {
  name: string;
  /** One figure a step. */
  values: number[];
  total: number;
}

/** More than these can't be told apart by their colours. */
const MOST = 8;

/**
 * Sum rows up into stacks, the largest first; small ones beyond the eighth become one.
 *
 * @param rows usage by step and key
 * @param steps the bars, in order
 * @param step which field of a row names its bar
 * @param key which field of a row names its colour
 * @param quantity what is summed up
 * @param others the name of what is left over
 */
export function stacksOf(
  rows: readonly IUsageRow[],
  steps: readonly string[],
  step: 'day' | 'month',
  key: 'site' | 'profile',
  quantity: Quantity,
  others: string
): IStack[] {
  const places = new Map(steps.map((name, place) => [name, place]));
  const stacks = new Map<string, IStack>();
  for (const row of rows) {
    const place = places.get(row[step] ?? '');
    const amount = row[quantity];
    if (place !== undefined && amount) {
      add(stacks, row[key] ?? '', steps.length, place, amount);
    }
  }
  const sorted = [...stacks.values()].sort((a, b) => b.total - a.total);
  const rest = sorted.splice(sorted.length > MOST ? MOST - 1 : MOST);
  for (const { values } of rest) {
    values.forEach((amount, place) =>
      add(stacks, others, steps.length, place, amount)
    );
  }
  return rest.length > 0 ? [...sorted, stacks.get(others)!] : sorted;
}

function add(
  stacks: Map<string, IStack>,
  name: string,
  length: number,
  place: number,
  amount: number
): void {
  const stack = stacks.get(name) ?? {
    name,
    values: Array.from({ length }, () => 0),
    total: 0
  };
  stack.values[place]! += amount;
  stack.total += amount;
  stacks.set(name, stack);
}
