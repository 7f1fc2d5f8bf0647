import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { IdentityModel, PATIENCE } from '../identityModel.js';
import type { IIdentity, ISiteIdentity, LinkState } from '../identityTypes.js';
import { FarlabError, IFarlab } from '../tokens.js';

const DOWN = new FarlabError('unreachable', 'Failed to fetch');

function site(
  state: LinkState,
  more: Partial<ISiteIdentity> = {}
): ISiteIdentity {
  return {
    site: 'vega',
    title: 'Vega',
    kind: 'hpc',
    rule: 'alise',
    state,
    account: state === 'linked' ? 'itw001' : null,
    last_seen: null,
    external: [],
    open: state === 'linked',
    reason: '',
    fix: '',
    link_url: 'https://alise.example/vega',
    unlink_url: null,
    checked: null,
    ...more
  };
}

/** Answers as it is told, and never asks a server. */
class FakeFarlab implements Pick<IFarlab, 'identity' | 'checkIdentity'> {
  site = site('not-linked');
  error: FarlabError | null = null;

  identity(): Promise<IIdentity> {
    const login: IIdentity['login'] = {
      issuer: '',
      subject: '',
      name: '',
      ends: null,
      state: 'none',
      reason: '',
      login_url: '',
      entitlements: [],
      groups: []
    };
    const whole = { user: 'alice', login, tokens: [], sites: [this.site] };
    return this.error ? Promise.reject(this.error) : Promise.resolve(whole);
  }

  checkIdentity(): Promise<ISiteIdentity> {
    return this.error ? Promise.reject(this.error) : Promise.resolve(this.site);
  }
}

describe('who the user is', () => {
  let farlab: FakeFarlab;
  let model: IdentityModel;
  let now: number;

  beforeEach(async () => {
    now = 1000;
    farlab = new FakeFarlab();
    model = new IdentityModel(farlab, () => now);
    await model.refresh();
  });

  it('is followed in the other tab until the account is linked', async () => {
    model.follow('vega');
    await model.followUp();
    assert.ok(model.isFollowed(model.sites[0]!));
    assert.equal(model.news.length, 0);
    farlab.site = site('linked');
    await model.followUp();
    assert.equal(model.isFollowing, false);
    assert.equal(model.sites[0]!.account, 'itw001');
    assert.deepEqual(
      model.news.map(one => one.state),
      ['linked']
    );
  });

  it('is followed on while nobody can say whether it is linked', async () => {
    model.follow('vega');
    farlab.site = site('cannot-check');
    await model.followUp();
    assert.ok(model.isFollowing);
    farlab.site = site('linked');
    await model.followUp();
    assert.equal(model.isFollowing, false);
  });

  it('is not followed for ever', async () => {
    model.follow('vega');
    now += PATIENCE + 1;
    await model.followUp();
    assert.equal(model.isFollowing, false);
  });

  it('stays on the screen while the service is away', async () => {
    farlab.error = DOWN;
    await assert.rejects(model.refresh());
    assert.equal(model.state.name, 'known');
    assert.equal(model.state.name === 'known' && model.state.error, DOWN);
    await assert.rejects(model.check('vega'));
    assert.equal(model.sites.length, 1);
  });

  it('is told as missing where it was never known', async () => {
    const fresh = new IdentityModel({
      ...farlab,
      identity: () => Promise.reject(DOWN),
      checkIdentity: () => Promise.reject(DOWN)
    });
    await assert.rejects(fresh.refresh());
    assert.equal(fresh.state.name, 'failed');
    fresh.follow('vega');
    assert.equal(fresh.isFollowing, false);
  });

  it('is another identity when only what is linked has changed', async () => {
    farlab.site = site('linked');
    await model.refresh();
    model.follow('vega');
    const external = [
      { issuer: 'https://b', subject: '2', name: '', last_seen: null }
    ];
    farlab.site = site('linked', { external });
    await model.followUp();
    assert.equal(model.isFollowing, false);
  });
});
