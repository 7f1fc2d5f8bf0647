import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { useRef, useState } from 'react';

import { DataLakeProblem } from '../components/DataLakeProblem.js';
import type { IProblem } from '../datalakeTypes.js';

/** What is in a form, and how to change it. */
export interface IForm<T> {
  value: T;
  set: (change: Partial<T>) => void;
}

export interface IFormOptions<T extends object, R> {
  title: string;
  okLabel: string;
  /** What is in it at first. */
  value: T;
  /** Its fields. */
  form: (form: IForm<T>) => JSX.Element;
  /** Does what was asked for; rejects with an `IProblem`, which the form then shows. */
  submit: (value: T) => Promise<R>;
  trans: TranslationBundle;
}

/**
 * Ask for something in a dialog, and do it. When it can't be done the form comes again, as it was
 * filled in, with the reason.
 *
 * @returns null if the user thought better of it
 */
export async function askAndDo<T extends object, R>(
  options: IFormOptions<T, R>
): Promise<R | null> {
  const { okLabel, title, trans } = options;
  let { value } = options;
  let problem: IProblem | null = null;
  for (;;) {
    const answer = await showDialog({
      title,
      body: new FormBody(options, value, problem),
      focusNodeSelector: 'input:not([type=checkbox]), select, textarea',
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: okLabel })
      ]
    });
    if (!answer.button.accept || !answer.value) {
      return null;
    }
    value = answer.value;
    try {
      return await options.submit(value);
    } catch (reason) {
      problem = reason as IProblem;
    }
  }
}

class FormBody<T extends object, R>
  extends ReactWidget
  implements Dialog.IBodyWidget<T>
{
  constructor(
    private readonly _options: IFormOptions<T, R>,
    private _value: T,
    private readonly _problem: IProblem | null
  ) {
    super();
    this.addClass('jp-farlab-LakeForm');
  }

  getValue(): T {
    return this._value;
  }

  protected override render(): JSX.Element {
    const { form, trans } = this._options;
    return (
      <>
        {this._problem && (
          <DataLakeProblem problem={this._problem} trans={trans} />
        )}
        <Fields
          initial={this._value}
          form={form}
          tell={value => {
            this._value = value;
          }}
        />
      </>
    );
  }
}

function Fields<T extends object>(props: {
  initial: T;
  form: (form: IForm<T>) => JSX.Element;
  tell: (value: T) => void;
}): JSX.Element {
  const latest = useRef(props.initial);
  const [value, setValue] = useState(props.initial);
  const set = (change: Partial<T>) => {
    latest.current = { ...latest.current, ...change };
    props.tell(latest.current);
    setValue(latest.current);
  };
  return props.form({ value, set });
}
