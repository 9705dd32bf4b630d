/** A static web server on loopback for browser tests: ranges, the types modules and WebAssembly need, isolation or none. */
import { createReadStream, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize, sep } from 'node:path';

export interface SiteOptions {
  /** Folder by URL prefix; the longest prefix that fits is taken. Prefixes begin and end with '/'. */
  readonly folders: Readonly<Record<string, string>>;
  /** Sends the headers that make a page cross-origin isolated, so that it may share memory. */
  readonly isolated?: boolean;
  /** Lets pages of other origins read everything. */
  readonly shared?: boolean;
}

export interface Site {
  /** Without a trailing slash: 'http://127.0.0.1:1234'. */
  readonly url: string;
  /** Every request so far, as 'METHOD /path status'. */
  readonly requests: readonly string[];
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.wasm': 'application/wasm',
};

/** Of a file at a time: a reader gets it in pieces as small as it likes. */
const readBytes = 1 << 20;

export async function openSite(options: SiteOptions): Promise<Site> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    response.on('finish', () => requests.push(`${request.method} ${request.url} ${response.statusCode}`));
    answer(options, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}`, requests, close, [Symbol.asyncDispose]: close };
}

function answer(options: SiteOptions, request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('Cache-Control', 'no-store');
  if (options.isolated) {
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
  }
  if (options.shared) {
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Expose-Headers', '*');
  }
  const file = findFile(options.folders, request.url ?? '/');
  if (!file) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found');
    return;
  }
  response.setHeader('Content-Type', contentTypes[extname(file.path)] ?? 'application/octet-stream');
  response.setHeader('Accept-Ranges', 'bytes');
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

/** The file a URL means, 'index.html' for a folder; nothing outside the folders. */
function findFile(folders: SiteOptions['folders'], url: string): { path: string; size: number } | undefined {
  const pathname = decodeURIComponent(new URL(url, 'http://localhost').pathname);
  const prefixes = Object.keys(folders).filter((prefix) => pathname.startsWith(prefix));
  const prefix = prefixes.sort((a, b) => b.length - a.length)[0];
  const folder = prefix === undefined ? undefined : folders[prefix];
  if (prefix === undefined || folder === undefined) return undefined;
  const inside = normalize(`/${pathname.slice(prefix.length)}`);
  const path = join(folder, inside.endsWith(sep) ? `${inside}index.html` : inside);
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats?.isFile() ? { path, size: stats.size } : undefined;
}
