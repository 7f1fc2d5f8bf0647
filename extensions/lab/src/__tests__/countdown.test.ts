import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { clockSkew, formatSpan, secondsLeft, Warner } from '../countdown.js';

describe('clockSkew', () => {
  it('is the distance from the middle of the round trip', () => {
    assert.equal(clockSkew(1060, 999, 1001), 60);
    assert.equal(clockSkew(940, 999, 1001), -60);
  });
});

describe('secondsLeft', () => {
  it('counts a started second as a whole one', () => {
    assert.equal(secondsLeft(100, 98.5), 2);
  });

  it('is never negative', () => {
    assert.equal(secondsLeft(100, 1000), 0);
  });
});

describe('formatSpan', () => {
  for (const [seconds, text] of [
    [0, '0:00:00'],
    [659, '0:10:59'],
    [28743, '7:59:03'],
    [86400, '1 d 00:00:00'],
    [2 * 86400 + 3 * 3600 + 4 * 60 + 5, '2 d 03:04:05']
  ] as const) {
    it(`shows ${seconds} s as ${text}`, () => {
      assert.equal(formatSpan(seconds), text);
    });
  }
});

describe('Warner', () => {
  it('warns once at each limit', () => {
    const warner = new Warner([10, 2]);
    const due = [601, 600, 599, 121, 120, 119].filter(left =>
      warner.isDue(left)
    );
    assert.deepEqual(due, [600, 120]);
  });

  it('makes one warning of limits that were passed together', () => {
    const warner = new Warner([10, 2]);
    assert.equal(warner.isDue(30), true);
    assert.equal(warner.isDue(29), false);
  });

  it('is silent after the end and without limits', () => {
    assert.equal(new Warner([10]).isDue(0), false);
    assert.equal(new Warner([]).isDue(1), false);
  });
});
