import type { TranslationBundle } from '@jupyterlab/translation';

import { loginText } from '../identityText.js';
import type { ILogin } from '../identityTypes.js';

export interface ILoginViewProps {
  user: string;
  login: ILogin;
  trans: TranslationBundle;
}

/** Who the user is at the hub, and what its provider says of them. */
export function LoginView({
  login,
  trans,
  user
}: ILoginViewProps): JSX.Element {
  const said = [...login.entitlements, ...login.groups];
  return (
    <section className="jp-farlab-Login" aria-label={trans.__('Your login')}>
      <p className="jp-farlab-Login-user">{user}</p>
      <p>{loginText(login, trans)}</p>
      {login.reason && <p className="jp-farlab-Faint">{login.reason}</p>}
      {login.state === 'ended' && login.login_url && (
        <p>
          <a href={login.login_url} target="_blank" rel="noreferrer">
            {trans.__('Log in again')}
          </a>
        </p>
      )}
      {said.length > 0 && (
        <details>
          <summary>{trans.__('Groups and entitlements')}</summary>
          <ul className="jp-farlab-Words">
            {[...new Set(said)].map(word => (
              <li key={word}>{word}</li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}
