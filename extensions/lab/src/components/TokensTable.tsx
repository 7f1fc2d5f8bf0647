import type { TranslationBundle } from '@jupyterlab/translation';

import { tokenText } from '../identityText.js';
import type { ITokenState } from '../identityTypes.js';

export interface ITokensTableProps {
  tokens: ITokenState[];
  trans: TranslationBundle;
}

/** What the user's servers get tokens for, and how long those are good. */
export function TokensTable({ tokens, trans }: ITokensTableProps): JSX.Element {
  return (
    <>
      <h3 className="jp-farlab-Section">{trans.__('Tokens')}</h3>
      <ul className="jp-farlab-Identities" aria-label={trans.__('Tokens')}>
        {tokens.map(token => (
          <li key={token.name} className="jp-farlab-Identity">
            <div className="jp-farlab-Identity-head">
              <span className="jp-farlab-Identity-title">{token.title}</span>
              <span className="jp-farlab-State" data-state={token.state}>
                {tokenText(token, trans)}
              </span>
            </div>
            <p className="jp-farlab-Faint">
              {[
                token.audience && trans.__('for %1', token.audience),
                token.scope
              ]
                .filter(Boolean)
                .join(' · ')}
            </p>
            {token.reason && (
              <p className="jp-farlab-Identity-reason">{token.reason}</p>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}
