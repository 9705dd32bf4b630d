/** Memory cgroups of Linux, version 1 or 2: a group with a limit that processes are started in. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { textOf } from '../process-tree.ts';

export interface MemoryGroup {
  /** 1 or 2. */
  readonly version: number;
  /** A process joins by writing its id here. */
  readonly processesFile: string;
  /** Cached pages of files count, too. */
  setLimit(bytes: number): void;
  /** The most that was held since the last call of `setLimit`; undefined where the kernel does not tell. */
  peakBytes(): number | undefined;
  /** To be called when its processes have ended. */
  close(): void;
}

interface Files {
  readonly limit: string;
  readonly peak: string;
  readonly swap: readonly [file: string, value: (limit: number) => number];
}

const filesOf: Record<1 | 2, Files> = {
  1: {
    limit: 'memory.limit_in_bytes',
    peak: 'memory.max_usage_in_bytes',
    // Memory and swap together.
    swap: ['memory.memsw.limit_in_bytes', (limit) => limit],
  },
  2: { limit: 'memory.max', peak: 'memory.peak', swap: ['memory.swap.max', () => 0] },
};

/** A group of this benchmark's own, or why there is none. */
export function openMemoryGroup(): MemoryGroup | string {
  const mount = mountOfMemoryGroups();
  if (typeof mount === 'string') return mount;
  const folder = join(mount.path, `nearfield-bench-${process.pid}`);
  try {
    mkdirSync(folder);
  } catch (error) {
    return `making a cgroup in ${mount.path} is not allowed (${(error as Error).message})`;
  }
  const files = filesOf[mount.version];
  if (!existsSync(join(folder, files.limit))) {
    rmdirSync(folder);
    return `the cgroup made in ${mount.path} does not count memory`;
  }
  const write = (name: string, value: number): void => writeFileSync(join(folder, name), String(value));
  return {
    version: mount.version,
    processesFile: join(folder, 'cgroup.procs'),
    setLimit(bytes) {
      const limit = Math.floor(bytes / 4096) * 4096;
      const [swapFile, swapOf] = files.swap;
      // The lower of two limits first: version 1 wants that of memory and swap to be the higher at all times.
      if (existsSync(join(folder, swapFile))) ignoreRefusal(() => write(swapFile, swapOf(limit)));
      write(files.limit, limit);
      if (existsSync(join(folder, swapFile))) write(swapFile, swapOf(limit));
      ignoreRefusal(() => write(files.peak, 0));
    },
    peakBytes() {
      const text = textOf(join(folder, files.peak)).trim();
      return text === '' ? undefined : Number(text);
    },
    close: () => ignoreRefusal(() => rmdirSync(folder)),
  };
}

function mountOfMemoryGroups(): { readonly version: 1 | 2; readonly path: string } | string {
  if (process.platform !== 'linux') return 'memory cgroups are a thing of Linux';
  let unified: string | undefined;
  // id, parent, device, root, mount point, options, optional fields, "-", type, source, options of the file system
  for (const line of textOf('/proc/self/mountinfo').split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const path = left.split(' ')[4] ?? '';
    const [type, , options = ''] = right.split(' ');
    if (type === 'cgroup' && options.split(',').includes('memory')) return { version: 1, path };
    if (type === 'cgroup2') unified = path;
  }
  if (unified === undefined) return 'no cgroups are mounted';
  if (!readFileSync(join(unified, 'cgroup.controllers'), 'utf8').split(/\s+/).includes('memory')) {
    return `the cgroups in ${unified} have no memory controller`;
  }
  try {
    writeFileSync(join(unified, 'cgroup.subtree_control'), '+memory');
  } catch (error) {
    return `the memory controller of ${unified} cannot be used (${(error as Error).message})`;
  }
  return { version: 2, path: unified };
}

function ignoreRefusal(work: () => void): void {
  try {
    work();
  } catch {
    // The kernel is older, or something is still in the group.
  }
}
