import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { ChooserModel, joined, wayOf } from '../datalakeChooser.js';
import {
  boxBetween,
  boxOf,
  boxPath,
  geometryPath,
  geometryPoints,
  gridLines,
  viewOf,
  WORLD
} from '../datalakeMap.js';
import {
  changesOf,
  doubleKey,
  metadataOf,
  pairsOf,
  valueOf
} from '../datalakeMetadata.js';
import { inLakes, itemOf, lakeNames } from '../datalakeReferences.js';
import { parseQuery } from '../datalakeSearch.js';
import { SelectionModel } from '../datalakeSelection.js';
import { foldersOf, stagedId } from '../datalakeStaged.js';
import { intervalOf, timeText } from '../datalakeTime.js';
import { INode, LakeTree } from '../datalakeTree.js';
import { EntryKind, IEntry, ILake, IPage } from '../datalakeTypes.js';

const RUCIO: ILake = {
  name: 'escape',
  title: 'ESCAPE',
  description: '',
  kind: 'rucio',
  capabilities: ['search', 'write', 'attach'],
  identity: 'userpass',
  logged_in: true,
  user: 'alice',
  rse: 'VEGA',
  web: null
};
const STORE: ILake = { ...RUCIO, name: 'store', title: 'Store', kind: 's3' };

function entry(
  path: string,
  kind: EntryKind = 'file',
  more: Record<string, unknown> = {}
): IEntry {
  const name = path.slice(path.search(/[^:/]*$/));
  const unknown = { size: null, modified: null, checksum: null, state: null };
  return { name, path, kind, ...unknown, more };
}

/** Lets all that is ready happen. */
function settle(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 1));
}

describe('metadata in a table', () => {
  it('reads what is typed as what it looks like', () => {
    assert.equal(valueOf(' 3 '), 3);
    assert.equal(valueOf('-1.5e3'), -1500);
    assert.equal(valueOf('true'), true);
    assert.equal(valueOf('"3"'), '3');
    assert.deepEqual(valueOf('[1, 2]'), [1, 2]);
    assert.equal(valueOf('007'), '007');
    assert.equal(valueOf('{not json}'), '{not json}');
    assert.equal(valueOf('two words'), 'two words');
  });

  it('shows values so that they are read as they were', () => {
    const metadata = { run: 3, text: '3', name: 'x', list: [1], own: 'no' };
    const pairs = pairsOf(metadata, ['run', 'text', 'name', 'list', 'gone']);
    assert.deepEqual(
      pairs.map(({ value }) => value),
      ['3', '"3"', 'x', '[1]']
    );
    assert.deepEqual(metadataOf(pairs), {
      run: 3,
      text: '3',
      name: 'x',
      list: [1]
    });
  });

  it('asks for what has changed, and no more', () => {
    const before = pairsOf({ run: 3, old: 'x', same: 'y' }, [
      'run',
      'old',
      'same'
    ]);
    const after = [
      { key: 'run', value: '4' },
      { key: 'same', value: 'y' },
      { key: ' new ', value: 'z' },
      { key: '', value: 'nothing' }
    ];
    assert.deepEqual(changesOf(before, after), { run: 4, old: null, new: 'z' });
    assert.deepEqual(changesOf(before, before), {});
    assert.equal(doubleKey(after), null);
    assert.equal(doubleKey([...after, { key: 'run', value: '' }]), 'run');
  });
});

describe('SelectionModel', () => {
  async function opened(): Promise<[LakeTree, SelectionModel]> {
    const page = (entries: IEntry[]): Promise<IPage> =>
      Promise.resolve({ entries, next: null });
    const tree = new LakeTree({
      entries: (_, path) =>
        page(
          path === ''
            ? [entry('demo', 'scope')]
            : ['a', 'b', 'c', 'd'].map(name => entry(`demo:${name}`))
        ),
      search: () => page([])
    });
    tree.show([RUCIO, STORE]);
    const screen = { first: 0, end: 30 };
    for (const index of [0, 1]) {
      tree.open(tree.rows[index]!.node!);
      tree.look(screen, 30);
      await settle();
    }
    return [tree, new SelectionModel(tree)];
  }
  const node = (tree: LakeTree, name: string): INode =>
    tree.rows.find(row => row.node?.entry?.name === name)!.node!;
  const names = (selection: SelectionModel) =>
    selection.subjects.map(one => one.entry.name);

  it('has what is selected, one or many', async () => {
    const [tree, selection] = await opened();
    assert.deepEqual(selection.subjects, []);
    selection.only(node(tree, 'b'));
    assert.deepEqual(names(selection), ['b']);
    selection.toggle(node(tree, 'd'));
    assert.deepEqual(names(selection), ['b', 'd']);
    assert.equal(selection.parent, node(tree, 'demo'));
    selection.extend(node(tree, 'b'));
    assert.deepEqual(names(selection), ['b', 'c', 'd']);
    selection.toggle(node(tree, 'c'));
    assert.ok(!selection.has(node(tree, 'c')));
    assert.deepEqual(names(selection), ['b', 'd']);
    selection.only(node(tree, 'a'));
    assert.deepEqual(names(selection), ['a']);
  });

  it('ends when the tree selects something else, or closes', async () => {
    const [tree, selection] = await opened();
    selection.only(node(tree, 'a'));
    selection.extend(node(tree, 'c'));
    tree.close(tree.rows[0]!.node!);
    assert.deepEqual(names(selection), []);
    assert.equal(selection.parent, null);
  });

  it('knows a storage itself as its outermost folder', async () => {
    const [tree, selection] = await opened();
    selection.only(tree.rows.at(-1)!.node!);
    assert.deepEqual(
      selection.subjects.map(one => [one.entry.kind, one.entry.path]),
      [['folder', '']]
    );
    selection.only(tree.rows[0]!.node!);
    assert.deepEqual(selection.subjects, []);
  });
});

describe('LakeTree', () => {
  it('shows one entry by itself, open', () => {
    const tree = new LakeTree({
      entries: () => new Promise(() => undefined),
      search: () => new Promise(() => undefined)
    });
    tree.show([RUCIO]);
    tree.showEntry(RUCIO, entry('demo:days', 'dataset'));
    assert.equal(tree.rows[0]!.node?.entry?.name, 'days');
    assert.equal(tree.selected, tree.rows[0]!.node);
    assert.ok(tree.rows[1]!.tail);
    assert.ok(tree.query);
  });
});

describe('ChooserModel', () => {
  it('shows what can be gone into, page by page', async () => {
    const asked: string[][] = [];
    const pages: IPage[] = [
      { entries: [entry('a', 'folder'), entry('x.csv')], next: 'on' },
      { entries: [entry('b', 'folder')], next: null },
      { entries: [], next: null }
    ];
    const client = {
      entries: (_: string, path: string, cursor: string) => {
        asked.push([path, cursor]);
        return Promise.resolve(pages[asked.length - 1]!);
      }
    };
    const model = new ChooserModel(client, ['folder'], STORE, '');
    await settle();
    assert.deepEqual(
      model.entries.map(({ name }) => name),
      ['a']
    );
    assert.ok(model.hasMore);
    model.more();
    await settle();
    assert.ok(!model.hasMore && model.entries.length === 2);
    model.go(STORE, 'b');
    await settle();
    assert.deepEqual(asked, [
      ['', ''],
      ['', 'on'],
      ['b', '']
    ]);
    assert.deepEqual(model.entries, []);
  });

  it('knows the way to where it is', () => {
    const paths = (lake: ILake, path: string) =>
      wayOf(lake, path).map(one => one.path);
    assert.deepEqual(paths(STORE, 'a/b'), ['', 'a', 'a/b']);
    assert.deepEqual(paths(RUCIO, 'demo:x/y:z'), ['', 'demo', 'demo:x/y:z']);
    assert.equal(joined('', 'x'), 'x');
    assert.equal(joined('a', 'x'), 'a/x');
  });
});

describe('the map', () => {
  it('shows what is around an area, and all of the Earth for a large one', () => {
    assert.deepEqual(viewOf(null), WORLD);
    assert.deepEqual(viewOf([-170, -80, 170, 80]), WORLD);
    const view = viewOf([10, 40, 11, 41]);
    assert.ok(view.west < 10 && view.west + view.width > 11);
    assert.ok(view.north > 41 && view.north - view.height < 40);
    // Over the date line, it goes on beyond 180 degrees.
    const over = viewOf([179, 0, -179, 1]);
    assert.ok(over.west < 179 && over.west + over.width > 181);
    assert.equal(boxPath([179, 0, -179, 1]), 'M179 0H181V-1H179Z');
  });

  it('draws whatever geometry there is', () => {
    const ring = [
      [0, 0],
      [1, 0],
      [1, 2]
    ];
    assert.equal(
      geometryPath({ type: 'Polygon', coordinates: [ring] }),
      'M0 0L1 0L1 -2Z'
    );
    assert.equal(
      geometryPath({ type: 'LineString', coordinates: ring.slice(1) }),
      'M1 0L1 -2'
    );
    const multi = { type: 'MultiPolygon', coordinates: [[ring], [ring]] };
    const both = { type: 'GeometryCollection', geometries: [multi, null] };
    assert.equal(geometryPath(both).split('Z').length, 3);
    assert.equal(geometryPath('nonsense'), '');
    assert.deepEqual(geometryPoints({ type: 'Point', coordinates: [5, 6] }), [
      [5, 6]
    ]);
  });

  it('reads boxes that are given or dragged', () => {
    assert.deepEqual(boxOf([1, 2, 3, 4]), [1, 2, 3, 4]);
    assert.deepEqual(boxOf([1, 2, 0, 3, 4, 9]), [1, 2, 3, 4]);
    assert.equal(boxOf(['1', 2, 3, 4]), null);
    assert.equal(boxOf(null), null);
    assert.deepEqual(boxBetween([20.04, -10], [-200, 95]), [-180, -10, 20, 90]);
    assert.deepEqual(gridLines(-180, 360), [-180, -120, -60, 0, 60, 120, 180]);
    assert.ok(gridLines(10, 24).length <= 7);
  });
});

describe('STAC', () => {
  it('writes days as an interval, and times as people read them', () => {
    assert.equal(intervalOf('', ''), '');
    assert.equal(intervalOf('2024-01-01', ''), '2024-01-01T00:00:00Z/..');
    assert.equal(intervalOf('', '2024-01-31'), '../2024-01-31T23:59:59Z');
    const day = '2024-01-01T00:00:00Z';
    assert.equal(timeText([day, day]), '2024-01-01');
    assert.equal(timeText([day, null]), '2024-01-01 – …');
    assert.equal(timeText([null, null]), '');
  });

  it('searches by properties whose names have colons', () => {
    assert.deepEqual(parseQuery('fire eo:cloud_cover<10', '/c', false), {
      text: 'fire',
      path: '/c',
      metadata: { 'eo:cloud_cover': '<10' }
    });
  });

  it('knows what is in which lake', () => {
    const item = entry('/items/1', 'item', {
      in: [
        { lake: 'escape', host: 'h', scope: 'fires', name: 'one' },
        { lake: null, host: 'rucio.org', scope: 's', name: 'n' },
        { lake: 'store', path: 'a/b' },
        'nonsense'
      ]
    });
    assert.deepEqual(
      inLakes(item).map(({ name, to }) => [name, to?.path]),
      [
        ['escape: fires:one', 'fires:one'],
        ['rucio.org: s:n', undefined],
        ['store: a/b', 'a/b']
      ]
    );
    assert.deepEqual(lakeNames(item), ['escape', 'store']);
    const url = 'https://stac.org/collections/c/items/one';
    const described = entry('demo:one', 'dataset', {
      item: { url, lake: 'stac', path: '/collections/c/items/one' }
    });
    assert.equal(itemOf(described)?.name, 'one');
    assert.equal(itemOf(described)?.to?.lake, 'stac');
    assert.equal(itemOf(entry('demo:x')), null);
  });
});

describe('what is dropped', () => {
  it('keeps its folders, each made before those in it', () => {
    const files = [{ path: 'run/a/x' }, { path: 'run/y' }, { path: 'z' }];
    assert.deepEqual(foldersOf('lake-uploads/1', files), [
      'lake-uploads',
      'lake-uploads/1',
      'lake-uploads/1/run',
      'lake-uploads/1/run/a'
    ]);
    assert.equal(stagedId('/home/alice/lake-uploads/1/x'), '1');
    assert.equal(stagedId('/home/alice/results'), '');
  });
});
