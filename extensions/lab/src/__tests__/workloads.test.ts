import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { LogModel } from '../logModel.js';
import {
  FarlabError,
  IFarlab,
  IWorkload,
  IWorkloadsAnswer,
  WorkloadPhase
} from '../tokens.js';
import { attachCode, queuePlace, reasonText } from '../workloadText.js';
import { mayAttach, mayCancel, WorkloadsModel } from '../workloadsModel.js';

const DOWN = new FarlabError('unreachable', 'Failed to fetch');

function workload(
  uid: string,
  state: WorkloadPhase,
  more: Partial<IWorkload> = {}
): IWorkload {
  return {
    uid,
    state,
    name: `name-${uid}`,
    server_name: '',
    kind: 'kernel',
    site: 'vega',
    profile: 'gpu',
    reason: '',
    message: '',
    node: '',
    created: 0,
    deadline: null,
    ...more
  };
}

/** Answers as it is told, and never asks a server. */
class FakeFarlab implements Pick<
  IFarlab,
  'workloads' | 'workload' | 'log' | 'cancel'
> {
  all: IWorkload[] = [];
  now: number | null = null;
  text = '';
  error: FarlabError | null = null;

  workloads(): Promise<IWorkloadsAnswer> {
    return this._answer({ workloads: [...this.all], now: this.now });
  }

  workload(): Promise<IWorkload> {
    return this._answer(this.all[0]!);
  }

  log(): Promise<string> {
    return this._answer(this.text);
  }

  cancel(uid: string): Promise<IWorkload> {
    return this._answer(workload(uid, 'cancelled'));
  }

  private _answer<T>(answer: T): Promise<T> {
    return this.error ? Promise.reject(this.error) : Promise.resolve(answer);
  }
}

describe('WorkloadsModel', () => {
  let farlab: FakeFarlab;
  let model: WorkloadsModel;

  beforeEach(() => {
    farlab = new FakeFarlab();
    model = new WorkloadsModel(farlab, () => 1000);
  });

  const uids = () => model.workloads.map(one => one.uid);
  const news = () => model.news.map(one => [one.uid, one.state]);

  it('lists live ones first, and newer ones before older ones', async () => {
    farlab.all = [
      workload('a', 'ready', { created: 1 }),
      workload('b', 'failed', { created: 2 }),
      workload('c', 'queued', { created: 3 }),
      workload('d', 'finished', { created: 4 })
    ];
    await model.refresh();
    assert.deepEqual(uids(), ['c', 'a', 'd', 'b']);
  });

  it('tells what changed, but not what was there at first', async () => {
    farlab.all = [workload('a', 'queued'), workload('b', 'ready')];
    await model.refresh();
    assert.deepEqual(news(), []);
    farlab.all = [workload('a', 'ready'), workload('b', 'ready')];
    await model.refresh();
    assert.deepEqual(news(), [['a', 'ready']]);
    await model.refresh();
    assert.deepEqual(news(), [['a', 'ready']]);
  });

  it('has no list when the first question fails, and recovers', async () => {
    assert.equal(model.state.name, 'loading');
    farlab.error = DOWN;
    await assert.rejects(model.refresh(), DOWN);
    assert.deepEqual(model.state, { name: 'failed', error: DOWN });
    farlab.error = null;
    await model.refresh();
    assert.deepEqual(model.state, { name: 'list', workloads: [], error: null });
  });

  it('keeps the list when a later question fails, and says why it is old', async () => {
    farlab.all = [workload('a', 'ready')];
    await model.refresh();
    farlab.error = DOWN;
    await assert.rejects(model.refresh(), DOWN);
    assert.deepEqual(uids(), ['a']);
    assert.ok(model.state.name === 'list' && model.state.error === DOWN);
  });

  it('takes no older answer for a newer one', async () => {
    const answers: ((answer: IWorkloadsAnswer) => void)[] = [];
    farlab.workloads = () => new Promise(resolve => answers.push(resolve));
    const asked = [model.refresh(), model.refresh()];
    answers[1]!({ workloads: [workload('a', 'ready')], now: null });
    answers[0]!({ workloads: [workload('a', 'queued')], now: null });
    await Promise.all(asked);
    assert.equal(model.workloads[0]!.state, 'ready');
  });

  it('counts by the clock of the server', async () => {
    const live = workload('a', 'ready', { deadline: 5060 });
    farlab.all = [live];
    farlab.now = 5000;
    await model.refresh();
    assert.equal(model.left(live), 60);
    assert.equal(model.left({ ...live, state: 'finished' }), null);
    assert.equal(model.left({ ...live, deadline: null }), null);
  });

  it('cancels, and shows so before the next look', async () => {
    farlab.all = [workload('a', 'ready')];
    await model.refresh();
    const cancelling = model.cancel('a');
    assert.ok(model.isCancelling(model.workloads[0]!));
    await cancelling;
    assert.equal(model.workloads[0]!.state, 'cancelled');
    assert.deepEqual(news(), [['a', 'cancelled']]);
  });

  it('lets cancel again what was not cancelled', async () => {
    farlab.all = [workload('a', 'ready')];
    await model.refresh();
    farlab.error = DOWN;
    await assert.rejects(model.cancel('a'), DOWN);
    assert.ok(!model.isCancelling(model.workloads[0]!));
    assert.equal(model.workloads[0]!.state, 'ready');
  });
});

describe('what may be done with a workload', () => {
  it('is nothing but reading for notebook servers and what has ended', () => {
    const server = workload('a', 'ready', { kind: 'server' });
    const ended = workload('a', 'failed');
    assert.deepEqual([server, ended].map(mayCancel), [false, false]);
    assert.deepEqual([server, ended].map(mayAttach), [false, false]);
  });

  it('is attaching for live ones with a name', () => {
    assert.ok(mayAttach(workload('a', 'queued')));
    assert.ok(!mayAttach(workload('a', 'queued', { name: '' })));
    assert.ok(mayCancel(workload('a', 'queued', { name: '' })));
  });
});

describe('the words for a workload', () => {
  it('have the place in the queue while it waits', () => {
    const message = 'Waiting for resources: place 3 of 12 in partition gpu';
    const waiting = workload('a', 'queued', { message });
    assert.deepEqual(queuePlace(waiting), { place: 3, waiting: 12 });
    assert.equal(queuePlace({ ...waiting, state: 'ready' }), null);
    assert.equal(queuePlace(workload('a', 'queued')), null);
  });

  it('have the reason once', () => {
    const words = (reason: string, message: string) =>
      reasonText(workload('a', 'failed', { reason, message }));
    assert.equal(words('Idle', ''), 'Idle');
    assert.equal(words('', 'It ended.'), 'It ended.');
    assert.equal(words('Error', 'It ended.'), 'Error: It ended.');
    assert.equal(words('Lost', 'Lost by the site.'), 'Lost by the site.');
    assert.equal(words('Failed', 'Its job is gone.'), 'Its job is gone.');
  });

  it('attach by the magic, or in Python where a magic could not tell', () => {
    assert.match(attachCode('mine-2'), /\n%offload attach mine-2$/);
    assert.match(attachCode('a "b"\n{c}'), /attach\("a \\"b\\"\\n\{c\}"\)$/);
    assert.match(attachCode('--all'), /farlab_kernels\.attach\("--all"\)$/);
  });
});

describe('LogModel', () => {
  let farlab: FakeFarlab;
  let model: LogModel;

  beforeEach(() => {
    farlab = new FakeFarlab();
    farlab.all = [workload('a', 'ready')];
    model = new LogModel(farlab, 'a');
  });

  it('shows the latest lines without what only a terminal understands', async () => {
    farlab.text = '\x1b[31mred\x1b[0m\n';
    await model.refresh();
    assert.equal(model.text, 'red\n');
    assert.ok(!model.isComplete);
  });

  it('keeps what it has when the service keeps less after the end', async () => {
    farlab.text = 'one\ntwo\n';
    await model.refresh();
    farlab.all = [workload('a', 'cancelled')];
    farlab.text = 'two\n';
    await model.refresh();
    assert.equal(model.text, 'one\ntwo\n');
    assert.ok(model.isComplete);
  });

  it('keeps what it has when it cannot be read on', async () => {
    farlab.text = 'one\n';
    await model.refresh();
    farlab.error = DOWN;
    await assert.rejects(model.refresh(), DOWN);
    assert.deepEqual([model.text, model.error], ['one\n', DOWN]);
    farlab.error = null;
    await model.refresh();
    assert.equal(model.error, null);
  });
});
