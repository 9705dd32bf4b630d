/**
 * Adds to package-lock.json the packages for other platforms that the registry at hand did not have, by name and version
 * only. npm leaves them out, and then `npm ci` refuses the lock file. Run it after `npm install --package-lock-only`, in
 * the folder of the lock file.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const systems = {
  win32: 'win32',
  win: 'win32',
  darwin: 'darwin',
  mac: 'darwin',
  linux: 'linux',
  android: 'android',
};
const processors = ['x64', 'arm64', 'arm', 'ia32', 'riscv64'];

/** A lock entry for a package whose name says its platform, such as `@scope/tool-linux-x64-musl`. */
function entryFor(name, version) {
  const words = name.split('/').at(-1).split('-');
  const system = systems[words.find((word) => word in systems)];
  const processor = processors.find((candidate) => words.includes(candidate));
  if (!system || !processor) throw new Error(`${name}: its name does not say for which platform it is`);
  const libc = system === 'linux' ? { libc: [words.includes('musl') ? 'musl' : 'glibc'] } : {};
  return { version, cpu: [processor], dev: true, ...libc, optional: true, os: [system] };
}

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const added = {};
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (lock.packages[`node_modules/${name}`] || lock.packages[`${path}/node_modules/${name}`]) continue;
    added[`node_modules/${name}`] = entryFor(name, version);
  }
}
const ordered = Object.entries({ ...lock.packages, ...added }).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries(ordered);
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
process.stderr.write(`${Object.keys(added).length} packages added\n`);
