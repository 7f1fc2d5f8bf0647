/**
 * Which rows of a long list are on the screen: all are of one height, but for a few notes.
 */

/** Pixels of a row. */
export const ROW = 26;
/** Pixels of a row with a note: a problem needs some lines. */
export const NOTE = 104;
/** Rows beyond either edge of the screen that are there already when one scrolls. */
const BEYOND = 6;

/** How many rows to ask for, to fill so many pixels. */
export function rowsFor(pixels: number): number {
  return Math.ceil(pixels / ROW) + 2 * BEYOND;
}

/** The rows from `first` up to, but not including, `end`. */
export interface IRange {
  first: number;
  end: number;
}

/** Where rows are. */
export class RowHeights {
  /**
   * @param count how many rows there are
   * @param notes the indices of those that are notes, in order
   */
  constructor(
    readonly count: number,
    private readonly _notes: readonly number[]
  ) {}

  /** Pixels of all rows. */
  get total(): number {
    return this.top(this.count);
  }

  /** Pixels above a row. */
  top(index: number): number {
    const before = this._notes.findIndex(note => note >= index);
    const notes = before < 0 ? this._notes.length : before;
    return index * ROW + notes * (NOTE - ROW);
  }

  /** Pixels of a row. */
  height(index: number): number {
    return this._notes.includes(index) ? NOTE : ROW;
  }

  /** The row that is so many pixels from the top. */
  at(pixels: number): number {
    let [low, high] = [0, Math.max(0, this.count - 1)];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.top(middle) <= pixels) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }

  /** The rows to have in the page while so many pixels from `top` on are seen. */
  window(top: number, height: number): IRange {
    const { first, end } = this.seen(top, height);
    return {
      first: Math.max(0, first - BEYOND),
      end: Math.min(this.count, end + BEYOND)
    };
  }

  /** The rows of which something is seen. */
  seen(top: number, height: number): IRange {
    if (this.count === 0 || height <= 0) {
      return { first: 0, end: 0 };
    }
    return { first: this.at(top), end: this.at(top + height - 1) + 1 };
  }

  /** How far to scroll for a row to be seen whole: as little as can be. */
  scrollTo(index: number, top: number, height: number): number {
    const above = this.top(index);
    const below = above + this.height(index) - height;
    return Math.min(Math.max(top, below), above);
  }
}
