import type { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type { ILake, ILogin } from '../datalakeTypes.js';

/** The fields of a login; the browser is asked to keep none of them. */
export class LoginForm extends Widget implements Dialog.IBodyWidget<ILogin> {
  constructor(lake: ILake, trans: TranslationBundle) {
    super();
    this.addClass('jp-farlab-LakeLogin');
    const keys = lake.identity === 'keys';
    this._username = this._field(
      keys ? trans.__('Access key') : trans.__('User name'),
      'text'
    );
    this._password = this._field(
      keys ? trans.__('Secret key') : trans.__('Password'),
      'password'
    );
    this._account = keys
      ? null
      : this._field(trans.__('Account, if it is not the user name'), 'text');
    const note = document.createElement('p');
    note.textContent = trans.__(
      'It stays in the memory of your server until the server ends, and is written nowhere.'
    );
    this.node.append(note);
  }

  getValue(): ILogin {
    return {
      username: this._username.value.trim(),
      password: this._password.value,
      account: this._account?.value.trim() ?? ''
    };
  }

  private _field(words: string, type: string): HTMLInputElement {
    const label = document.createElement('label');
    const input = document.createElement('input');
    input.type = type;
    input.className = 'jp-mod-styled';
    input.autocomplete = type === 'password' ? 'new-password' : 'off';
    input.spellcheck = false;
    label.append(words, input);
    this.node.append(label);
    return input;
  }

  private readonly _account: HTMLInputElement | null;
  private readonly _password: HTMLInputElement;
  private readonly _username: HTMLInputElement;
}
