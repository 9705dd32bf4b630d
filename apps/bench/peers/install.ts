/** Installs the engines to compare with, from their own lock files, where they are not there yet. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folders = {
  native: fileURLToPath(new URL('../../../test/oracle/', import.meta.url)),
  wllama: fileURLToPath(new URL('./', import.meta.url)),
};

const expected = { native: 'node-llama-cpp', wllama: 'wllama-2' };

/** True where the peer is installed now; says what it does and why it cannot. */
export function install(peer: keyof typeof folders, say: (line: string) => void): boolean {
  const folder = folders[peer];
  const isThere = (): boolean => existsSync(join(folder, 'node_modules', expected[peer], 'package.json'));
  if (isThere()) return true;
  say(`installing ${expected[peer]}`);
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const parameters = ['ci', '--ignore-scripts', '--loglevel=error', '--no-audit', '--no-fund'];
  const { stderr, error } = spawnSync(npm, parameters, { cwd: folder, encoding: 'utf8' });
  if (isThere()) return true;
  say(`${expected[peer]} could not be installed; it is left out\n${error?.message ?? stderr}`);
  return false;
}
