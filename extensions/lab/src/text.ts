/**
 * The sentences that people read, in their language.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import { splitSpan } from './countdown.js';
import type { FarlabError, SiteKind } from './tokens.js';

/** The words for a kind of site. */
export function kindText(kind: SiteKind, trans: TranslationBundle): string {
  return {
    cloud: trans.__('Cloud'),
    hpc: trans.__('HPC'),
    htc: trans.__('HTC'),
    quantum: trans.__('Quantum')
  }[kind];
}

/** What went wrong, and what to do. */
export function failureText(
  error: FarlabError,
  trans: TranslationBundle
): string {
  switch (error.kind) {
    case 'missing':
      return trans.__(
        "This server's Farlab extension is missing. Install it in the server's environment " +
          'with "pip install farlab[lab]", or turn it on with ' +
          '"jupyter server extension enable farlab_server_ext", then restart the server.'
      );
    case 'unconfigured':
      return trans.__(
        'This server knows of no Farlab service. On your own computer, start JupyterLab with ' +
          '"--FarlabServerApp.catalogue=sites.yaml", the file with your sites; on a hub, start the ' +
          'server again, and if that does not help, ask who runs the hub.'
      );
    case 'unreachable':
      return trans.__(
        'The server did not answer (%1). Check your network and that the server still runs, then try again.',
        error.message
      );
    case 'refused':
      return trans.__(
        'The server could not answer: %1. Try again; its log tells more.',
        error.message
      );
  }
}

/** A span in words, such as "7 hours 59 minutes"; its two largest parts are enough. */
export function spanText(total: number, trans: TranslationBundle): string {
  const { days, hours, minutes, seconds } = splitSpan(total);
  const parts: [number, string][] = [
    [days, trans._n('%1 day', '%1 days', days)],
    [hours, trans._n('%1 hour', '%1 hours', hours)],
    [minutes, trans._n('%1 minute', '%1 minutes', minutes)],
    [seconds, trans._n('%1 second', '%1 seconds', seconds)]
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return (first < 0 ? parts.slice(-1) : parts.slice(first, first + 2))
    .filter(([count], index) => count > 0 || index === 0)
    .map(([, words]) => words)
    .join(' ');
}

/** A moment as people say it: the time, with the date unless it is today. */
export function momentText(moment: Date, today: Date): string {
  const isToday = moment.toDateString() === today.toDateString();
  return moment.toLocaleString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    ...(isToday ? {} : { day: 'numeric', month: 'short' })
  });
}

/**
 * The warning before the end. It stays on the screen, so it must stay true.
 *
 * @param left seconds until the end
 * @param end the end, on the browser's clock
 */
export function warningText(
  left: number,
  end: Date,
  trans: TranslationBundle
): string {
  const minutes = Math.ceil(left / 60);
  return trans._n(
    'This server ends at %2, in less than %1 minute. Save your work: kernels and terminals end with it.',
    'This server ends at %2, in less than %1 minutes. Save your work: kernels and terminals end with it.',
    minutes,
    momentText(end, new Date())
  );
}
