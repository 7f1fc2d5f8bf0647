import { Dialog, showDialog } from '@jupyterlab/apputils';

import { attempt, IDataLakeContext, tellSuccess } from './datalakeContext.js';
import type { ILake } from './datalakeTypes.js';
import { LoginForm } from './widgets/LoginForm.js';

/** Ask for a name and a password, and log in with them. */
export async function logIn(
  { lakes, trans, tree }: IDataLakeContext,
  lake: ILake
): Promise<void> {
  const { button, value } = await showDialog({
    title: trans.__('Log in to %1', lake.title),
    body: new LoginForm(lake, trans),
    focusNodeSelector: 'input',
    buttons: [
      Dialog.cancelButton(),
      Dialog.okButton({ label: trans.__('Log In') })
    ]
  });
  if (!button.accept || !value) {
    return;
  }
  const done = await attempt(
    trans,
    lakes.logIn(lake, value).then(() => true)
  );
  if (done) {
    const found = tree.rows.find(
      ({ node }) => node?.entry === null && node.lake.name === lake.name
    );
    if (found?.node) {
      tree.open(found.node);
    }
  }
}

/** Let the server forget a login, and the panel what it showed. */
export async function logOut(
  { availability, lakes, trans }: IDataLakeContext,
  lake: ILake
): Promise<void> {
  if (
    await attempt(
      trans,
      lakes.logOut(lake).then(() => true)
    )
  ) {
    availability.forget();
    tellSuccess(trans.__('Logged out of %1.', lake.title));
  }
}
