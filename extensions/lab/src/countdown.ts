/**
 * The arithmetic of the time left. Moments are epoch seconds, spans are seconds.
 */

/**
 * How far the server's clock is ahead of the browser's.
 *
 * @param now the server's clock in its answer
 * @param sent the browser's clock when it asked
 * @param received the browser's clock when the answer was there
 */
export function clockSkew(now: number, sent: number, received: number): number {
  // The server read its clock somewhere on the way: the middle is the best guess.
  return now - (sent + received) / 2;
}

/** The whole seconds until a deadline, never negative. */
export function secondsLeft(deadline: number, now: number): number {
  return Math.max(0, Math.ceil(deadline - now));
}

/** A span of whole seconds in its parts. */
export interface ISpan {
  days: number;
  hours: number;
  minutes: number;
  seconds: number;
}

/** Split whole seconds into the parts that people count in. */
export function splitSpan(total: number): ISpan {
  return {
    days: Math.floor(total / 86400),
    hours: Math.floor(total / 3600) % 24,
    minutes: Math.floor(total / 60) % 60,
    seconds: total % 60
  };
}

/** A span as `7:59:03`, or with days before it as `2 d 07:59:03`. */
export function formatSpan(total: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const { days, hours, minutes, seconds } = splitSpan(total);
  const tail = `${two(minutes)}:${two(seconds)}`;
  return days > 0 ? `${days} d ${two(hours)}:${tail}` : `${hours}:${tail}`;
}

/** Decides when to warn that the time is almost over: once for each limit. */
export class Warner {
  /**
   * @param minutes the limits, in minutes before the end
   */
  constructor(minutes: readonly number[]) {
    this._limits = minutes.map(limit => limit * 60);
  }

  /**
   * Whether to warn now. Limits that are passed together, since the page was opened
   * late or the computer slept, make one warning; after the end there is none.
   *
   * @param left seconds until the end
   */
  isDue(left: number): boolean {
    const ahead = this._limits.filter(limit => limit < left);
    const passed = ahead.length < this._limits.length;
    this._limits = ahead;
    return passed && left > 0;
  }

  private _limits: number[];
}
