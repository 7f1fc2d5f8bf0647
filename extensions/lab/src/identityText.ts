/**
 * The sentences about identities, in the reader's language.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import type {
  IExternalIdentity,
  ILogin,
  ISiteIdentity,
  ITokenState,
  MappingRule
} from './identityTypes.js';
import { momentText } from './text.js';

/** The word for whether a user has an account at a site. */
export function linkText(
  { state }: ISiteIdentity,
  trans: TranslationBundle
): string {
  return {
    linked: trans.__('Linked'),
    'not-linked': trans.__('Not linked'),
    'cannot-check': trans.__("Can't check"),
    refused: trans.__('Closed to you'),
    'not-needed': trans.__('No account needed')
  }[state];
}

/** How a site knows the account. */
export function ruleText(rule: MappingRule, trans: TranslationBundle): string {
  return {
    none: trans.__('the same account for everyone'),
    file: trans.__("by the operator's list"),
    alise: trans.__('by account linking (ALISE)'),
    claim: trans.__('by your login'),
    vo: trans.__('by your group')
  }[rule];
}

/** Which account it is and how it is known; empty where there is none. */
export function accountText(
  { account, last_seen, rule }: ISiteIdentity,
  trans: TranslationBundle
): string {
  if (!account) {
    return '';
  }
  const words = trans.__('as %1, %2', account, ruleText(rule, trans));
  return last_seen === null
    ? words
    : trans.__('%1; last seen %2', words, dayText(last_seen));
}

/** An identity as people know it: a name, and who vouches for it. */
export function externalText(
  { issuer, name, subject }: IExternalIdentity,
  trans: TranslationBundle
): string {
  return trans.__('%1 at %2', name || subject, hostText(issuer));
}

/** Why a site is closed and what to do, as sentences. */
export function closedText(
  { fix, reason }: ISiteIdentity,
  user: string
): string {
  // A name stays as it is, also where a sentence begins.
  const why = reason.startsWith(user)
    ? reason
    : reason.charAt(0).toUpperCase() + reason.slice(1);
  return [why && why.replace(/\.?$/, '.'), fix].filter(Boolean).join(' ');
}

/** The login in one sentence. */
export function loginText(login: ILogin, trans: TranslationBundle): string {
  const who = trans.__(
    '%1 at %2',
    login.name || login.subject,
    hostText(login.issuer)
  );
  switch (login.state) {
    case 'none':
      return trans.__('No identity provider logs you in here.');
    case 'ended':
      return trans.__('Your login has ended.');
    case 'unknown':
      return trans.__("Your login can't be checked now.");
    case 'live':
      return login.ends === null
        ? who
        : trans.__('%1, until %2', who, untilText(login.ends));
  }
}

/** What is known of a token. */
export function tokenText(
  { ends, state }: ITokenState,
  trans: TranslationBundle
): string {
  switch (state) {
    case 'none':
      return trans.__('Fetched when it is needed');
    case 'ended':
      return trans.__('Ended with your login');
    case 'refused':
      return trans.__('Refused');
    case 'live':
      return ends === null
        ? trans.__('Good')
        : trans.__('Good until %1, then renewed', untilText(ends));
  }
}

function untilText(moment: number): string {
  return momentText(new Date(moment * 1000), new Date());
}

function dayText(moment: number): string {
  return new Date(moment * 1000).toLocaleDateString(undefined, {
    day: 'numeric',
    month: 'short',
    year: 'numeric'
  });
}

/** The host of an address; the text itself where it is none. */
function hostText(address: string): string {
  try {
    return new URL(address).host || address;
  } catch {
    return address;
  }
}
