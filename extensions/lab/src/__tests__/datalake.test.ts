import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { availability, AvailabilityModel } from '../datalakeAvailability.js';
import { openCode } from '../datalakeCode.js';
import { DetailsModel } from '../datalakeDetails.js';
import { pressKey } from '../datalakeKeys.js';
import { parseQuery } from '../datalakeSearch.js';
import { SelectionModel } from '../datalakeSelection.js';
import { SuggestionsModel } from '../datalakeSuggestions.js';
import { sizeText } from '../datalakeText.js';
import { INode, LakeTree } from '../datalakeTree.js';
import {
  EntryKind,
  IEntry,
  ILake,
  IPage,
  IReplica,
  LakeFailure
} from '../datalakeTypes.js';
import { NOTE, ROW, RowHeights } from '../datalakeWindow.js';

const LAKE: ILake = {
  name: 'escape',
  title: 'ESCAPE',
  description: '',
  kind: 'rucio',
  capabilities: ['search', 'replicas', 'rules', 'read'],
  identity: 'userpass',
  logged_in: true,
  user: 'alice',
  rse: 'VEGA',
  web: null
};

function entry(path: string, kind: EntryKind = 'file'): IEntry {
  const name = path.slice(path.indexOf(':') + 1);
  const unknown = { size: null, modified: null, checksum: null, state: null };
  return { name, path, kind, ...unknown, more: {} };
}

/** Lets all that is ready happen. */
function settle(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 1));
}

interface IAsked {
  path: string;
  cursor: string;
  limit: number;
  signal: AbortSignal | undefined;
  answer: (page: IPage) => void;
  fail: (problem: LakeFailure) => void;
}

/** Answers when it is told to. */
class FakeLakes {
  asked: IAsked[] = [];

  entries(
    _lake: string,
    path: string,
    cursor: string,
    limit: number,
    signal?: AbortSignal
  ): Promise<IPage> {
    return new Promise((answer, fail) => {
      this.asked.push({ path, cursor, limit, signal, answer, fail });
    });
  }

  search(
    lake: string,
    query: { text: string; path: string },
    cursor: string,
    limit: number,
    signal?: AbortSignal
  ): Promise<IPage> {
    const path = `${query.path}:${query.text}`;
    return this.entries(lake, path, cursor, limit, signal);
  }

  get last(): IAsked {
    return this.asked.at(-1)!;
  }
}

describe('RowHeights', () => {
  it('finds rows below notes, which are higher', () => {
    const heights = new RowHeights(10, [3]);
    assert.equal(heights.top(3), 3 * ROW);
    assert.equal(heights.top(4), 3 * ROW + NOTE);
    assert.equal(heights.total, 9 * ROW + NOTE);
    assert.equal(heights.at(3 * ROW + NOTE - 1), 3);
    assert.equal(heights.at(3 * ROW + NOTE), 4);
  });

  it('has only what is seen of a million rows, and a little more', () => {
    const heights = new RowHeights(1_000_000, []);
    assert.deepEqual(heights.seen(500_000 * ROW, 10 * ROW), {
      first: 500_000,
      end: 500_010
    });
    const { first, end } = heights.window(500_000 * ROW, 10 * ROW);
    assert.ok(first < 500_000 && end > 500_010 && end - first < 30);
    assert.deepEqual(heights.seen(0, 0), { first: 0, end: 0 });
  });

  it('scrolls as little as can be', () => {
    const heights = new RowHeights(100, []);
    assert.equal(heights.scrollTo(5, 0, 10 * ROW), 0);
    assert.equal(heights.scrollTo(10, 0, 10 * ROW), ROW);
    assert.equal(heights.scrollTo(2, 5 * ROW, 10 * ROW), 2 * ROW);
  });
});

describe('LakeTree', () => {
  let lakes: FakeLakes;
  let tree: LakeTree;
  const screen = { first: 0, end: 30 };

  beforeEach(() => {
    lakes = new FakeLakes();
    tree = new LakeTree(lakes);
    tree.show([LAKE, { ...LAKE, name: 'virgo', title: 'Virgo' }]);
  });

  const shown = () =>
    tree.rows.map(({ node, tail }) =>
      tail ? '…' : (node.entry?.name ?? node.lake.title)
    );
  const node = (name: string): INode =>
    tree.rows.find(row => row.node?.entry?.name === name)!.node!;
  const root = () => tree.rows[0]!.node!;

  async function answer(page: IPage): Promise<void> {
    lakes.last.answer(page);
    await settle();
  }

  async function openScope(next: string | null): Promise<void> {
    tree.open(root());
    tree.look(screen, 30);
    await answer({ entries: [entry('demo', 'scope')], next: null });
    tree.open(node('demo'));
    tree.look(screen, 30);
    await answer({ entries: [entry('demo:a'), entry('demo:b')], next });
  }

  it('asks for nothing before it is seen', async () => {
    tree.open(root());
    await settle();
    assert.equal(lakes.asked.length, 0);
    tree.look({ first: 0, end: 1 }, 30);
    assert.equal(lakes.asked.length, 0);
    tree.look(screen, 30);
    assert.equal(lakes.asked.length, 1);
    tree.look(screen, 30);
    assert.equal(lakes.asked.length, 1);
    assert.equal(lakes.last.limit, 30);
  });

  it('goes on where a page ended, when its end is seen', async () => {
    await openScope('here');
    assert.deepEqual(shown(), ['ESCAPE', 'demo', 'a', 'b', '…', 'Virgo']);
    tree.look({ first: 0, end: 3 }, 30);
    assert.equal(lakes.asked.length, 2);
    tree.look(screen, 30);
    assert.deepEqual([lakes.last.path, lakes.last.cursor], ['demo', 'here']);
    await answer({ entries: [entry('demo:c')], next: null });
    assert.deepEqual(shown(), ['ESCAPE', 'demo', 'a', 'b', 'c', 'Virgo']);
    assert.equal(node('c').position, 3);
  });

  it('does not wait for what was scrolled away, and asks for it again', async () => {
    await openScope('here');
    tree.look(screen, 30);
    const { signal } = lakes.last;
    tree.look({ first: 0, end: 2 }, 30);
    assert.ok(signal!.aborted);
    await answer({ entries: [entry('demo:late')], next: null });
    assert.ok(!shown().includes('late'));
    tree.look(screen, 30);
    assert.equal(lakes.asked.length, 4);
  });

  it('shows a problem, and tries again', async () => {
    tree.open(root());
    tree.look(screen, 30);
    lakes.last.fail(new LakeFailure('denied', 'No.', 'Ask.'));
    await settle();
    assert.deepEqual(tree.notes, [1]);
    tree.look(screen, 30);
    assert.equal(lakes.asked.length, 1);
    tree.retry(tree.rows[1]!.tail!);
    tree.look(screen, 30);
    assert.equal(lakes.asked.length, 2);
    await answer({ entries: [], next: null });
    assert.ok(tree.rows[1]!.tail!.isEmpty);
  });

  it('closes with all that is in it', async () => {
    await openScope('here');
    tree.look(screen, 30);
    tree.select(node('a'));
    tree.close(root());
    assert.deepEqual(shown(), ['ESCAPE', 'Virgo']);
    assert.ok(lakes.last.signal!.aborted);
    assert.equal(tree.selected, root());
  });

  it('opens and selects anew what was open, when it is read anew', async () => {
    await openScope(null);
    tree.select(node('b'));
    tree.show([LAKE]);
    tree.look(screen, 30);
    await answer({ entries: [entry('demo', 'scope')], next: null });
    tree.look(screen, 30);
    assert.equal(lakes.last.path, 'demo');
    await answer({ entries: [entry('demo:a'), entry('demo:b')], next: null });
    assert.equal(tree.selected?.entry?.name, 'b');
  });

  it('shows what a search finds', async () => {
    tree.search(LAKE, { text: 'x*', path: 'demo', metadata: {} });
    tree.look(screen, 30);
    assert.equal(lakes.last.path, 'demo:x*');
    await answer({ entries: [entry('demo:x1')], next: null });
    assert.deepEqual(shown(), ['x1']);
    assert.equal(node('x1').depth, 0);
  });

  it('is walked through by keys', async () => {
    await openScope(null);
    const entered: string[] = [];
    const selection = new SelectionModel(tree);
    const enter = (one: INode) => void entered.push(one.entry!.name);
    const press = (key: string) => pressKey({ tree, selection, enter }, key, 2);
    const at = () => tree.selected?.entry?.name ?? tree.selected?.lake.title;
    assert.ok(press('End'));
    assert.equal(at(), 'Virgo');
    press('Home');
    press('ArrowRight');
    press('ArrowDown');
    assert.equal(at(), 'a');
    press('Enter');
    assert.deepEqual(entered, ['a']);
    press('ArrowLeft');
    assert.equal(at(), 'demo');
    press('ArrowLeft');
    assert.deepEqual(shown(), ['ESCAPE', 'demo', 'Virgo']);
    press('Enter');
    assert.deepEqual(shown(), ['ESCAPE', 'demo', '…', 'Virgo']);
    press('PageDown');
    assert.equal(at(), 'Virgo');
    assert.ok(!press('x'));
  });
});

describe('AvailabilityModel', () => {
  const replica: IReplica = {
    rse: 'VEGA',
    state: 'available',
    pfns: [],
    path: null,
    problem: null
  };

  it('tells where a file is', () => {
    assert.equal(availability([{ ...replica, path: '/f' }]), 'here');
    assert.equal(availability([replica]), 'elsewhere');
    assert.equal(availability([{ ...replica, state: 'bad' }]), 'nowhere');
  });

  it('asks once for the files on the screen, and only for those', async () => {
    const asked: string[][] = [];
    const model = new AvailabilityModel(
      {
        replicas: (_, paths) => {
          asked.push(paths);
          return Promise.resolve({ [paths[0]!]: [replica] });
        }
      },
      0
    );
    const node = (path: string, kind: EntryKind = 'file') =>
      ({ lake: LAKE, entry: entry(path, kind) }) as INode;
    model.look([node('demo:gone')]);
    model.look([node('demo:a'), node('demo', 'scope')]);
    model.look([node('demo:a'), node('demo', 'scope')]);
    await settle();
    await settle();
    assert.deepEqual(asked, [['demo:a']]);
    assert.equal(model.of(node('demo:a')), 'elsewhere');
  });
});

describe('DetailsModel', () => {
  it('asks about what stays selected, and knows what is on its way', async () => {
    const asked: string[] = [];
    let state = 'replicating';
    const model = new DetailsModel(
      {
        details: (_, path) => {
          asked.push(path);
          return Promise.reject(new LakeFailure('denied', 'No.', 'Ask.'));
        },
        preview: () => Promise.reject(new LakeFailure('denied', 'No.', '')),
        replicas: () => Promise.resolve({}),
        shares: () => Promise.resolve([]),
        rule: () => Promise.reject(new LakeFailure('denied', 'No.', '')),
        rules: () => Promise.resolve([{ state } as never]),
        where: () => Promise.reject(new LakeFailure('denied', 'No.', ''))
      },
      0
    );
    model.select({ lake: LAKE, entry: entry('demo:a') });
    model.select({ lake: LAKE, entry: entry('demo:b') });
    await settle();
    await settle();
    assert.deepEqual(asked, ['demo:b']);
    assert.equal(model.details?.name, 'failed');
    assert.deepEqual(model.replicas, { name: 'told', value: [] });
    assert.ok(model.isMoving);
    state = 'ok';
    await model.refreshRules();
    assert.ok(!model.isMoving);
    // What has arrived may be here now.
    assert.deepEqual(asked, ['demo:b', 'demo:b']);
  });
});

describe('the search', () => {
  it('reads patterns, scopes and metadata', () => {
    assert.deepEqual(parseQuery('demo:a b* run=3 mass>=2', 'x'), {
      text: 'a b*',
      path: 'demo',
      metadata: { run: '3', mass: '>=2' }
    });
    assert.deepEqual(parseQuery(' day* ', 'demo'), {
      text: 'day*',
      path: 'demo',
      metadata: {}
    });
  });

  it('suggests scopes, then names in one', async () => {
    const lakes = new FakeLakes();
    const model = new SuggestionsModel(lakes, 0);
    model.look(LAKE, 'd');
    await settle();
    lakes.last.answer({
      entries: [entry('demo', 'scope'), entry('odd', 'scope')],
      next: null
    });
    await settle();
    assert.deepEqual(model.list, ['demo:']);
    model.look(LAKE, 'demo:a');
    await settle();
    assert.equal(lakes.last.path, 'demo:a');
    lakes.last.answer({ entries: [entry('demo:ab')], next: null });
    await settle();
    assert.deepEqual(model.list, ['demo:ab']);
  });
});

describe('what is shown and inserted', () => {
  it('opens files by what they are', () => {
    assert.match(openCode('/r/ab/x', 'x.CSV'), /pd\.read_csv\("\/r\/ab\/x"\)/);
    assert.match(openCode('/r/x.nc', 'x.nc'), /xr\.open_dataset/);
    assert.match(openCode('/r/x.h5', 'x.h5'), /h5py\.File/);
    assert.match(openCode('/r/$& "x', 'x'), /Path\("\/r\/\$& \\"x"\)/);
  });

  it('writes sizes as people read them', () => {
    assert.equal(sizeText(14), '14 B');
    assert.equal(sizeText(1234), '1.2 kB');
    assert.equal(sizeText(999_999), '1.0 MB');
    assert.equal(sizeText(123_456_789), '123 MB');
  });
});
