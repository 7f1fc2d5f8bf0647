import type { TranslationBundle } from '@jupyterlab/translation';

import { budgetOutlook, budgetScopeText, budgetText } from '../usageText.js';
import type { IBudget } from '../usageTypes.js';

export interface IUsageBudgetsProps {
  budgets: IBudget[];
  trans: TranslationBundle;
}

/** The user's budgets; nothing where there are none. */
export function UsageBudgets({
  budgets,
  trans
}: IUsageBudgetsProps): JSX.Element | null {
  return budgets.length === 0 ? null : (
    <section aria-label={trans.__('Budgets')}>
      <h3>{trans.__('Budgets')}</h3>
      <ul className="jp-farlab-Budgets">
        {budgets.map(budget => (
          <Budget
            key={`${budget.name} ${budget.scope} ${budget.subject}`}
            budget={budget}
            trans={trans}
          />
        ))}
      </ul>
    </section>
  );
}

interface IBudgetProps {
  budget: IBudget;
  trans: TranslationBundle;
}

function Budget({ budget, trans }: IBudgetProps): JSX.Element {
  const words = budgetText(budget, trans);
  const taken = budget.amount > 0 ? 1 - budget.left / budget.amount : 1;
  return (
    <li className="jp-farlab-Budget" data-state={budget.state}>
      <span className="jp-farlab-Budget-name">
        {budget.name} <small>{budgetScopeText(budget, trans)}</small>
      </span>
      <meter
        min={0}
        max={1}
        low={0.8}
        high={1}
        optimum={0}
        value={taken}
        aria-label={words}
      />
      <span>{words}</span>
      <span className="jp-farlab-Budget-outlook">
        {budgetOutlook(budget, trans)}
      </span>
    </li>
  );
}
