import { Poll } from '@lumino/polling';

/** Milliseconds between two tries, at most, while they fail. */
const LONGEST = 60_000;

/**
 * Do something again and again while somebody sees it, less and less often while it fails.
 *
 * @param isSeen whether what it is for can be seen in the page
 * @param work rejects when it failed
 * @param interval milliseconds between two times
 */
export function pollWhile(
  isSeen: () => boolean,
  work: () => Promise<void>,
  interval: number
): Poll {
  return new Poll({
    factory: work,
    frequency: { interval, backoff: true, max: LONGEST },
    standby: () => document.hidden || !isSeen()
  });
}
