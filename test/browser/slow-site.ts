/** A server of another origin that gives out bytes slowly, by ranges, until it is told to hurry. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SlowSite {
  readonly url: string;
  hurry(): void;
  /** Of the file, so far. */
  sentBytes(): number;
  close(): Promise<void>;
}

const pieceBytes = 64 << 10;

/** Every address is the same file. */
export async function openSlowSite(bytes: Uint8Array, pieceMs: number): Promise<SlowSite> {
  let delayMs = pieceMs;
  let sentBytes = 0;
  const server = createServer((request, response) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = Number(range?.[1] ?? 0);
    const end = Math.min(bytes.byteLength, range?.[2] ? Number(range[2]) + 1 : bytes.byteLength);
    response.writeHead(request.method === 'OPTIONS' ? 204 : 206, {
      'Access-Control-Allow-Origin': '*',
      'Access-Control-Allow-Headers': 'Range',
      'Access-Control-Expose-Headers': 'Content-Range, ETag',
      'Content-Range': `bytes ${start}-${end - 1}/${bytes.byteLength}`,
      ETag: '"one"',
    });
    if (request.method !== 'GET') return response.end();
    let at = start;
    const send = () => {
      if (response.destroyed) return;
      const next = Math.min(end, at + pieceBytes);
      response.write(bytes.subarray(at, next));
      sentBytes += next - at;
      at = next;
      // The header comes at once.
      if (at >= end) response.end();
      else setTimeout(send, at < 1 << 20 ? 0 : delayMs);
    };
    send();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hurry: () => {
      delayMs = 0;
    },
    sentBytes: () => sentBytes,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
