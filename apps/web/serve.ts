/** `npm run web`: serves the built page on loopback. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openServer } from './server.ts';

/** Fixed, since what the page keeps belongs to its address. */
const usualPort = '4310';

const fail = (line: string, code: number): never => {
  process.stderr.write(`nearfield: ${line}\n`);
  process.exit(code);
};

function portOf(): number {
  try {
    const { port } = parseArgs({ options: { port: { type: 'string', default: usualPort } } }).values;
    const number = Number(port);
    if (Number.isInteger(number) && number >= 0 && number < 65536) return number;
  } catch {
    // An option that there is none of.
  }
  return fail('usage: npm run web -- [--port N], N from 0 (any free one) to 65535', 2);
}

const folder = fileURLToPath(new URL('../../dist/web/', import.meta.url));
const port = portOf();
if (!existsSync(join(folder, 'index.html'))) fail('dist/web is not built; run: npm run build', 1);
try {
  const { url } = await openServer(folder, port);
  process.stdout.write(`${url}\n`);
  process.stderr.write('nearfield: open this address in a browser; Ctrl-C ends\n');
} catch (error) {
  const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const line =
    reason === 'EADDRINUSE'
      ? `port ${port} is in use; run: npm run web -- --port N (another port is another page: models kept at ${port} stay there)`
      : `cannot serve on port ${port} (${reason}); run: npm run web -- --port N`;
  fail(line, 1);
}
