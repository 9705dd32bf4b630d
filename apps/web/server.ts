/** A web server on loopback for the built page: byte ranges, entity tags, and the headers that let it share memory. */
import { createReadStream, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';

export interface PageServer {
  /** Without a slash at the end. */
  readonly url: string;
  close(): Promise<void>;
}

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
  '.wasm': 'application/wasm',
  '.txt': 'text/plain; charset=utf-8',
};

const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-cache',
  'Accept-Ranges': 'bytes',
};

/** Of a file at a time. Small pieces cost more of this process than all else. */
const readBytes = 1 << 20;

/** Rejects where the port is taken. Port 0 is any that is free. */
export async function openServer(folder: string, port: number): Promise<PageServer> {
  const server = createServer((request, response) => answer(folder, request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  const actual = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://127.0.0.1:${actual}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(folder: string, request: IncomingMessage, response: ServerResponse): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { Allow: 'GET, HEAD' }).end();
    return;
  }
  const file = findFile(folder, request.url ?? '/');
  if (!file) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found\n');
    return;
  }
  response.setHeader('Content-Type', contentTypes[extname(file.path)] ?? 'application/octet-stream');
  response.setHeader('ETag', file.tag);
  if (request.headers['if-none-match'] === file.tag) {
    response.writeHead(304).end();
    return;
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const start = range ? Number(range[1]) : 0;
  const end = Math.min(file.size, range?.[2] ? Number(range[2]) + 1 : file.size);
  if (range && start >= end) {
    response.writeHead(416, { 'Content-Range': `bytes */${file.size}` }).end();
    return;
  }
  if (range) response.setHeader('Content-Range', `bytes ${start}-${end - 1}/${file.size}`);
  response.writeHead(range ? 206 : 200, { 'Content-Length': end - start });
  if (request.method === 'HEAD' || end === start) response.end();
  else createReadStream(file.path, { start, end: end - 1, highWaterMark: readBytes }).pipe(response);
}

interface FoundFile {
  readonly path: string;
  readonly size: number;
  readonly tag: string;
}

/** `index.html` for a folder; nothing outside of `folder`. */
function findFile(folder: string, url: string): FoundFile | undefined {
  let inside: string;
  try {
    inside = normalize(decodeURIComponent(new URL(url, 'http://localhost').pathname));
  } catch {
    return undefined;
  }
  if (inside.includes('\0')) return undefined;
  const path = join(folder, inside.endsWith(sep) ? `${inside}index.html` : inside);
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status?.isFile()) return undefined;
  return { path, size: status.size, tag: `"${status.size.toString(36)}-${status.mtimeMs.toString(36)}"` };
}
