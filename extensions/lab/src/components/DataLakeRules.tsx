import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';

import { ruleText } from '../datalakeText.js';
import type { IRule } from '../datalakeTypes.js';
import { momentText } from '../text.js';

/** Reasons that are shown of a rule: thousands of files may be stuck for the same one. */
const REASONS = 3;

/** What the buttons of a rule do; none of them rejects. */
export interface IRuleActions {
  extend: (rule: IRule) => void;
  retry: (rule: IRule) => void;
  remove: (rule: IRule) => void;
}

export interface IDataLakeRulesProps {
  rules: readonly IRule[];
  actions: IRuleActions;
  trans: TranslationBundle;
}

/** The rules for an entry: how far they are, until when, and why one is stuck. */
export function DataLakeRules(props: IDataLakeRulesProps): JSX.Element {
  const { rules, trans } = props;
  if (rules.length === 0) {
    return <p>{trans.__('No rule keeps it anywhere.')}</p>;
  }
  return (
    <ul className="jp-farlab-LakeRules">
      {rules.map(rule => (
        <Rule key={rule.id} {...props} rule={rule} />
      ))}
    </ul>
  );
}

interface IRuleProps extends IDataLakeRulesProps {
  rule: IRule;
}

function Rule(props: IRuleProps): JSX.Element {
  const { rule, trans } = props;
  const total = rule.ok + rule.replicating + rule.stuck;
  return (
    <li data-state={rule.state}>
      <strong>{rule.rse}</strong>{' '}
      <span className="jp-farlab-State" data-state={dot(rule)}>
        {ruleText(rule, trans)}
      </span>
      {rule.state !== 'ok' && total > 0 && (
        <>
          <progress value={rule.ok} max={total} aria-label={rule.rse} />
          {trans.__('%1 of %2 files', rule.ok, total)}
        </>
      )}
      <small>
        {rule.ends === null
          ? trans.__('for good')
          : trans.__(
              'until %1',
              momentText(new Date(rule.ends * 1000), new Date())
            )}
        {` · ${rule.account}`}
      </small>
      <Reasons rule={rule} />
      <Buttons {...props} />
    </li>
  );
}

function Reasons({ rule }: { rule: IRule }): JSX.Element {
  const known = (rule.reasons ?? []).map(({ reason }) => reason);
  const words = known.length > 0 ? known : rule.error ? [rule.error] : [];
  return (
    <>
      {[...new Set(words)].slice(0, REASONS).map(reason => (
        <p key={reason}>{reason}</p>
      ))}
    </>
  );
}

function Buttons({ actions, rule, trans }: IRuleProps): JSX.Element {
  const stuck = rule.state === 'stuck' || rule.state === 'suspended';
  const buttons: [string, (rule: IRule) => void][] = [
    ...(stuck
      ? [[trans.__('Try again'), actions.retry] as [string, (r: IRule) => void]]
      : []),
    [trans.__('Keep longer…'), actions.extend],
    [trans.__('End…'), actions.remove]
  ];
  return (
    <div className="jp-farlab-LakeActions">
      {buttons.map(([label, run]) => (
        <Button
          key={label}
          className="jp-mod-styled jp-farlab-Action"
          aria-label={trans.__('%1 (rule at %2)', label, rule.rse)}
          onClick={() => run(rule)}
        >
          {label}
        </Button>
      ))}
    </div>
  );
}

/** The colour of a state, in the words of workloads. */
function dot({ state }: IRule): string {
  return state === 'ok' ? 'ready' : state === 'stuck' ? 'failed' : 'queued';
}
