import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { FarlabError } from '../tokens.js';
import { stacksOf } from '../usageChart.js';
import type { UsageClient } from '../usageClient.js';
import { UsageModel } from '../usageModel.js';
import { spanOf, stepOf, stepsOf } from '../usageSpans.js';
import { figureText } from '../usageText.js';
import type {
  IUsage,
  IUsageMessage,
  IUsageRecord,
  IUsageRecords,
  IUsageRow,
  IUsageSums,
  Whose
} from '../usageTypes.js';

const DOWN = new FarlabError('unreachable', 'Failed to fetch');
const NOON = Date.UTC(2026, 2, 31, 12) / 1000;

const NOTHING: IUsageSums = {
  core_hours: 0,
  gpu_hours: 0,
  memory_gib_hours: 0,
  wait_hours: 0,
  cpu_hours: 0,
  efficiency: null,
  idle_gpu_hours: 0,
  workloads: 0,
  failed: 0,
  energy_kwh: null,
  co2e_g: null,
  energy_source: ''
};

function row(day: string, site: string, core_hours: number): IUsageRow {
  return { ...NOTHING, day, site, core_hours };
}

describe('spans', () => {
  it('begin and end with days of UTC', () => {
    assert.deepEqual(spanOf('month', NOON), {
      since: '2026-03-01',
      until: '2026-03-31'
    });
    assert.deepEqual(spanOf('last-month', NOON), {
      since: '2026-02-01',
      until: '2026-02-28'
    });
    assert.deepEqual(spanOf('days', NOON), {
      since: '2026-03-02',
      until: '2026-03-31'
    });
    assert.equal(spanOf('year', NOON).since, '2026-01-01');
  });

  it('know the month before January', () => {
    const january = Date.UTC(2027, 0, 1) / 1000;
    assert.deepEqual(spanOf('last-month', january), {
      since: '2026-12-01',
      until: '2026-12-31'
    });
  });

  it('are shown by day, or by month where they are long', () => {
    const month = spanOf('last-month', NOON);
    assert.equal(stepsOf(month).length, 28);
    const year = spanOf('year', NOON);
    assert.equal(stepOf(year), 'month');
    assert.deepEqual(stepsOf(year), ['2026-01', '2026-02', '2026-03']);
  });
});

describe('stacks', () => {
  const days = ['2026-03-01', '2026-03-02'];
  const stacks = (rows: IUsageRow[]) =>
    stacksOf(rows, days, 'day', 'site', 'core_hours', 'Others');

  it('sum rows up by day and site, the largest first', () => {
    const found = stacks([
      row(days[0]!, 'cloud', 1),
      row(days[1]!, 'vega', 2),
      row(days[1]!, 'vega', 3),
      row('2026-02-28', 'vega', 100)
    ]);
    assert.deepEqual(found, [
      { name: 'vega', values: [0, 5], total: 5 },
      { name: 'cloud', values: [1, 0], total: 1 }
    ]);
  });

  it('are eight at most, and lose nothing', () => {
    const rows = Array.from({ length: 12 }, (_, place) =>
      row(days[0]!, `site${place}`, place + 1)
    );
    const found = stacks(rows);
    assert.equal(found.length, 8);
    assert.equal(found[7]!.name, 'Others');
    assert.equal(
      found.reduce((sum, { total }) => sum + total, 0),
      78
    );
  });
});

describe('figures', () => {
  it('have the digits that tell something', () => {
    assert.equal(figureText(0), '0');
    assert.equal(figureText(0.004), '< 0.01');
    assert.equal(figureText(0.25), (0.25).toLocaleString());
    assert.equal(figureText(123.4), '123');
  });
});

/** Answers as it is told, and never asks a server. */
class FakeClient implements Omit<UsageClient, '_http'> {
  asked: Whose[] = [];
  error: FarlabError | null = null;
  pages: IUsageRecords[] = [];

  usage(_: unknown, __: unknown, whose: Whose): Promise<IUsage> {
    this.asked.push(whose);
    return this._answer({ since: '', until: '', rows: [], totals: NOTHING });
  }

  now(): Promise<[]> {
    return this._answer([]);
  }

  budgets(): Promise<[]> {
    return this._answer([]);
  }

  records(): Promise<IUsageRecords> {
    return this._answer(this.pages.shift() ?? { records: [], next: null });
  }

  overview(): Promise<never> {
    return Promise.reject(DOWN);
  }

  health(): Promise<never> {
    return Promise.reject(DOWN);
  }

  messages(): Promise<IUsageMessage[]> {
    return Promise.resolve([]);
  }

  readable(): Promise<{ groups: string[]; all: boolean }> {
    return this._answer({ groups: ['physics'], all: false });
  }

  exportUrl(): string {
    return '';
  }

  private _answer<T>(content: T): Promise<T> {
    return this.error ? Promise.reject(this.error) : Promise.resolve(content);
  }
}

describe('what was used', () => {
  let client: FakeClient;
  let model: UsageModel;
  const record = (uid: string) => ({ uid }) as IUsageRecord;

  beforeEach(() => {
    client = new FakeClient();
    model = new UsageModel(client, () => NOON);
  });

  it('stays on the screen while the service is away', async () => {
    await model.refresh();
    client.error = DOWN;
    await assert.rejects(model.refresh());
    assert.ok(model.state.name === 'shown' && model.state.error === DOWN);
  });

  it('is read page by page, and starts anew with another span', async () => {
    client.pages = [
      { records: [record('1')], next: 'there' },
      { records: [record('2')], next: null },
      { records: [record('3')], next: null }
    ];
    await model.rereadHistory();
    assert.ok(model.history.hasMore);
    await model.readMore();
    assert.deepEqual(
      model.history.records.map(({ uid }) => uid),
      ['1', '2']
    );
    assert.equal(model.history.hasMore, false);
    await model.showSpan('year');
    assert.deepEqual(
      model.history.records.map(({ uid }) => uid),
      ['3']
    );
  });

  it("can be a group's where the user manages one", async () => {
    assert.equal(model.choices.length, 1);
    await model.askWhose();
    assert.deepEqual(model.choices.at(-1), { name: 'group', group: 'physics' });
    await model.showWhose(model.choices.at(-1)!);
    assert.deepEqual(client.asked.at(-1), { name: 'group', group: 'physics' });
    assert.equal(model.state.name, 'failed');
  });

  it("is one's own alone where that can't be asked", async () => {
    client.error = DOWN;
    await model.askWhose();
    assert.deepEqual(model.choices, [{ name: 'mine' }]);
  });
});
