import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstMessage, workerScript } from './worker-script.ts';

const never = (): Worker => assert.fail('no browser here');
const here = new URL('./some-module.js', import.meta.url).href;
const silent = { post: () => {}, onMessage: () => {}, terminate: async () => {} };

test('a script lies beside its module, as source beside source, or where the override says', () => {
  const address = (at: string, override?: string | URL) => workerScript('job', at, override, never).address;
  assert.equal(address('file:///a/b/module.js'), 'file:///a/b/job.js');
  assert.equal(address('file:///a/b/module.ts'), 'file:///a/b/job.ts');
  assert.equal(address('file:///a/b/module.js', 'c/other.js'), 'file:///a/b/c/other.js');
  assert.equal(address(here, new URL('https://host/job.js')), 'https://host/job.js');
  assert.throws(() => address(here, 'http://'), { code: 'bad-argument' });
});

test('a script that says nothing or fails is not waited for', async () => {
  await assert.rejects(firstMessage({ ...silent, onError: () => {} }, 5), /no answer/);
  const failing = {
    ...silent,
    onError: (listener: (error: Error) => void) => listener(new Error('no file')),
  };
  await assert.rejects(firstMessage(failing), /no file/);
  await firstMessage({ ...silent, onError: () => {}, onMessage: (listener) => listener('ready') });
});
