/**
 * Makes a clone ready to run: installs when the lock file asks for something that is not there, builds when a source
 * changed. Runs before `npm start` and `npm test`, on any Node from 20.19; says one line on stderr for each thing it does.
 * With --oracle it also installs test/oracle (independent engines to compare with), where failure is no error.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { rootFolder, sourcesDigest } from './sources.mjs';

const say = (line) => process.stderr.write(`nearfield: ${line}\n`);
const digest = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
const textOf = (path) => (existsSync(path) ? readFileSync(path, 'utf8').trim() : '');

/** Runs a command quietly; its output is shown only when it fails. */
function runQuietly(command, parameters, folder) {
  const shell = process.platform === 'win32' && !command.endsWith('.exe');
  const options = {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 26,
    shell,
  };
  const result = spawnSync(command, parameters, options);
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ? `${result.error.message}\n` : ''}`;
  return { ok: result.status === 0, output };
}

/** The npm that runs this script, on the Node it runs on (never the Node an install is about to replace), else the one on PATH. */
function runNpm(parameters, folder) {
  const script = process.env.npm_execpath;
  const quiet = [...parameters, '--loglevel=error', '--no-audit', '--no-fund'];
  if (script && /^npm-cli\.[cm]?js$/.test(basename(script))) {
    return runQuietly(process.env.npm_node_execpath ?? process.execPath, [script, ...quiet], folder);
  }
  return runQuietly('npm', quiet, folder);
}

/** True when every package of the lock that this platform must have is installed in its version. */
function matchesLock(folder) {
  const installedPath = join(folder, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return false;
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages ?? {};
  const wanted = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' || entry.optional || entry.link || installed[path]?.version === entry.version,
  );
}

/** Installs `folder` from its lock file unless it is there already. Returns the failure's output, or undefined. */
function install(folder, label, parameters) {
  const stampPath = join(folder, 'node_modules', '.nearfield-lock');
  const lockDigest = digest(join(folder, 'package-lock.json'));
  if (textOf(stampPath) === lockDigest) return undefined;
  if (!matchesLock(folder)) {
    say(`installing ${label}`);
    const result = runNpm(['ci', ...parameters], folder);
    if (!result.ok) return result.output || 'npm ci failed';
  }
  writeFileSync(stampPath, `${lockDigest}\n`);
  return undefined;
}

/** npm may have refused the install script of the `node` package; that script is then run by itself. */
function placePinnedNode() {
  const packageFolder = join(rootFolder, 'node_modules', 'node');
  const binary = join(packageFolder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(binary)) return;
  say('fetching the pinned Node');
  const result = runQuietly(process.execPath, ['installArchSpecificPackage.js'], packageFolder);
  if (existsSync(binary)) runNpm(['rebuild', 'node', '--ignore-scripts'], rootFolder); // links it into .bin
  if (!existsSync(binary))
    say(`the pinned Node is not available, using Node ${process.version}\n${result.output}`);
}

function build() {
  if (textOf(join(rootFolder, 'dist', '.stamp')) === sourcesDigest()) return undefined;
  say('building');
  const result = runQuietly(process.execPath, [join(rootFolder, 'scripts', 'build.mjs')], rootFolder);
  return result.ok ? undefined : result.output;
}

function fail(what, output) {
  say(`${what} failed`);
  process.stderr.write(output.endsWith('\n') ? output : `${output}\n`);
  process.exit(1);
}

const installFailure = install(rootFolder, 'dependencies (npm ci)', []);
if (installFailure !== undefined) fail('npm ci', installFailure);
placePinnedNode();
const buildFailure = build();
if (buildFailure !== undefined) fail('the build', buildFailure);
if (process.argv.includes('--oracle')) {
  const oracleFailure = install(join(rootFolder, 'test', 'oracle'), 'engines to compare with', [
    '--ignore-scripts',
  ]);
  if (oracleFailure !== undefined)
    say('test/oracle could not be installed; the tests that compare with it are skipped');
}
