/** What the system keeps of files in memory. */
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Has the system forget the pages of files and of the files of folders; throws where it has no `dd` that asks for that. */
export function dropCachedPages(paths: readonly string[]): void {
  for (const path of paths) {
    if (statSync(path).isDirectory()) {
      dropCachedPages(readdirSync(path).map((name) => join(path, name)));
      continue;
    }
    // Pages that are not written yet cannot be dropped.
    execFileSync('sync', [path], { stdio: 'ignore' });
    execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
  }
}
