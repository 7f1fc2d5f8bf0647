import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { ServerModel } from '../model.js';
import { FarlabError, IFarlab, IServerAnswer } from '../tokens.js';

/** Answers as it is told, and never asks a server. */
class FakeFarlab implements Pick<IFarlab, 'server'> {
  answer: Partial<IServerAnswer> | Error = {};
  calls = 0;

  server(): Promise<IServerAnswer> {
    this.calls += 1;
    if (this.answer instanceof Error) {
      return Promise.reject(this.answer);
    }
    return Promise.resolve({
      site: 'vega',
      site_title: null,
      kind: 'hpc',
      profile: null,
      node: null,
      job_id: null,
      workload: null,
      deadline: null,
      now: 0,
      ...this.answer
    });
  }
}

describe('ServerModel', () => {
  let browser: number;
  let farlab: FakeFarlab;
  let model: ServerModel;
  let warnings: number[];

  beforeEach(() => {
    browser = 1000;
    farlab = new FakeFarlab();
    model = new ServerModel(farlab, () => browser);
    warnings = [];
    model.warned.connect((_, { left }) => warnings.push(left));
  });

  /** Let the browser's clock run, with one tick a second. */
  const pass = (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      browser += 1;
      model.tick();
    }
  };

  it('counts down by the server clock, however wrong the browser is', async () => {
    farlab.answer = { now: 5000, deadline: 5660 };
    await model.refresh();
    assert.equal(model.left, 660);
    assert.equal(model.end?.getTime(), 1_660_000);
    pass(1);
    assert.equal(model.left, 659);
  });

  it('warns at its limits, once each', async () => {
    farlab.answer = { now: 1000, deadline: 1660 };
    model.warnAt([10, 2]);
    await model.refresh();
    pass(660);
    assert.deepEqual(warnings, [600, 120]);
    assert.equal(model.left, 0);
  });

  it('warns when a limit is set that is passed already', async () => {
    farlab.answer = { now: 1000, deadline: 1300 };
    await model.refresh();
    assert.deepEqual(warnings, []);
    model.warnAt([10]);
    assert.deepEqual(warnings, [300]);
  });

  it('is right at once after a sleep, and asks the server again', async () => {
    farlab.answer = { now: 1000, deadline: 9000 };
    await model.refresh();
    browser += 7000;
    model.tick();
    assert.equal(model.left, 1000);
    assert.equal(farlab.calls, 2);
  });

  it('shows no countdown without a deadline', async () => {
    await model.refresh();
    assert.equal(model.state.name, 'place');
    assert.equal(model.left, null);
    assert.equal(model.end, null);
  });

  it('knows that a server runs at no site', async () => {
    farlab.answer = { site: null, deadline: 2000 };
    await model.refresh();
    assert.equal(model.state.name, 'nowhere');
    assert.equal(model.left, null);
  });

  it('shows a failure, and recovers from it', async () => {
    const states: string[] = [];
    model.changed.connect(() => states.push(model.state.name));
    farlab.answer = new FarlabError('missing', 'Not Found');
    await model.refresh();
    farlab.answer = {};
    await model.refresh();
    assert.deepEqual(states, ['failed', 'loading', 'place']);
  });

  it('keeps the place when a later question fails', async () => {
    await model.refresh();
    farlab.answer = new FarlabError('unreachable', 'Failed to fetch');
    await model.refresh();
    assert.equal(model.state.name, 'place');
  });
});
