import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { HttpOptions } from './http-client.ts';
import { openHttpSource } from './http-source.ts';

const MiB = 1024 * 1024;
const file = Uint8Array.from({ length: 3 * MiB + 17 }, (_, i) => (i * 31) ^ (i >> 9));
const quick = { retryDelaysMs: [1, 1, 1] };

async function serve(t: TestContext, listener: RequestListener): Promise<URL> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/a%20model.gguf?token=secret`);
}

function rangeOf(request: IncomingMessage, byteLength: number): [number, number] {
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  assert.ok(match, 'every request asks for a range');
  return [Number(match[1]), match[2] ? Math.min(Number(match[2]) + 1, byteLength) : byteLength];
}

function answerRange(request: IncomingMessage, response: ServerResponse, bytes = file): [number, number] {
  const [start, end] = rangeOf(request, bytes.byteLength);
  response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${bytes.byteLength}`, etag: '"1"' });
  return [start, end];
}

test('ranges: one request to open, one to read, none for what the first brought', async (t) => {
  let requestCount = 0;
  const url = await serve(t, (request, response) => {
    requestCount++;
    assert.equal(request.headers.authorization, 'Bearer x');
    const [start, end] = answerRange(request, response);
    response.end(file.subarray(start, end));
  });
  const source = await openHttpSource(url, { headers: { authorization: 'Bearer x' } });
  assert.equal(source.byteLength, file.byteLength);
  assert.equal(source.name, `${url.origin}/a%20model.gguf`, 'the query stays out of messages');
  const target = new Uint8Array(new SharedArrayBuffer(2 * MiB));
  await source.readInto(5, target.subarray(0, 100));
  assert.deepEqual(target.slice(0, 100), file.slice(5, 105));
  assert.equal(requestCount, 1);
  await source.readInto(MiB - 50, target);
  assert.ok(Buffer.from(target).equals(file.subarray(MiB - 50, 3 * MiB - 50)));
  assert.equal(requestCount, 2);
  await assert.rejects(source.readInto(file.byteLength - 5, target.subarray(0, 6)), { code: 'bad-file' });
});

test('an answer that breaks off is resumed where it ended', async (t) => {
  const starts: number[] = [];
  const url = await serve(t, (request, response) => {
    const [start, end] = answerRange(request, response);
    starts.push(start);
    if (starts.length === 1 || starts.length > 3) return response.end(file.subarray(start, end));
    response.write(file.subarray(start, start + 1000), () => setTimeout(() => response.destroy(), 100));
  });
  const source = await openHttpSource(url, quick);
  const target = new Uint8Array(5000);
  await source.readInto(2 * MiB, target);
  assert.deepEqual(target, file.slice(2 * MiB, 2 * MiB + 5000));
  // A slow machine may see the break before the bytes; it then asks for them again.
  assert.deepEqual([starts.length, starts[0], starts[1]], [4, 0, 2 * MiB]);
  assert.ok((starts[3] ?? 0) > 2 * MiB, `${starts}`);
});

/** Serves the file and writes down each range asked for; the answers beyond the head come a piece at a time. */
async function serveStreams(t: TestContext, options: HttpOptions = {}) {
  const pieceBytes = 100_000;
  const ranges: [number, number][] = [];
  const open = new Set<ServerResponse>();
  const url = await serve(t, (request, response) => {
    const [start, end] = answerRange(request, response);
    ranges.push([start, end]);
    open.add(response);
    response.on('close', () => open.delete(response));
    let at = start;
    const more = (): void => {
      const piece = file.subarray(at, Math.min(end, at + pieceBytes));
      at += piece.byteLength;
      if (at >= end) response.end(piece);
      else if (!response.destroyed) response.write(piece, more);
    };
    more();
  });
  return { source: await openHttpSource(url, { ...quick, ...options }), ranges, open };
}

test('who says how far it reads on gets all of it with one request, small gaps included', async (t) => {
  const { source, ranges } = await serveStreams(t);
  const [from, to] = [1.5 * MiB, file.byteLength - 3];
  const { signal } = new AbortController();
  for (const [offset, size] of [
    [from, 10],
    [from + 10, 300_000],
    [from + 300_100, 70_000],
    [to - 20, 20],
  ] as const) {
    const target = new Uint8Array(new SharedArrayBuffer(size));
    await source.readInto(offset, target, signal, to);
    assert.ok(Buffer.from(target).equals(file.subarray(offset, offset + size)), `${size} bytes at ${offset}`);
  }
  assert.deepEqual(ranges.slice(1), [
    [from, to],
    [to - 20, to],
  ]);
  await source.close();
});

test('one request brings a header longer than its first part and all that follows it', async (t) => {
  const { source, ranges, open } = await serveStreams(t, { readsOn: true });
  const read = async (offset: number, size: number, readsOnTo?: number) => {
    const target = new Uint8Array(size);
    await source.readInto(offset, target, undefined, readsOnTo);
    assert.ok(Buffer.from(target).equals(file.subarray(offset, offset + size)), `${size} bytes at ${offset}`);
  };
  await read(0, 64);
  await read(0, MiB);
  await read(MiB, MiB);
  // The header ended in the middle of that.
  for (let at = MiB + 5000; at < 3 * MiB; at += 300_000) {
    await read(at, Math.min(300_000, 3 * MiB - at), 3 * MiB);
  }
  assert.deepEqual(ranges, [[0, file.byteLength]]);
  await read(0, 100);
  assert.deepEqual(ranges.slice(1), [[0, 100]], 'the head is not kept any longer');
  await source.close();
  while (open.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

test('an answer that nobody reads on from is given up after a while', async (t) => {
  const { source, ranges, open } = await serveStreams(t, { readsOn: true, idleMs: 30 });
  while (open.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const target = new Uint8Array(1000);
  await source.readInto(2 * MiB, target, undefined, 2 * MiB + 1000);
  assert.deepEqual(target, file.slice(2 * MiB, 2 * MiB + 1000));
  assert.deepEqual(ranges, [
    [0, file.byteLength],
    [2 * MiB, 2 * MiB + 1000],
  ]);
  await source.close();
});

test('reads elsewhere and side by side have requests of their own', async (t) => {
  const { source, ranges, open } = await serveStreams(t);
  const to = 3 * MiB;
  const read = async (offset: number, signal?: AbortSignal) => {
    const target = new Uint8Array(1000);
    await source.readInto(offset, target, signal, to);
    assert.deepEqual(target, file.slice(offset, offset + 1000));
  };
  await read(2 * MiB);
  await read(MiB + 5);
  assert.deepEqual(ranges.splice(0).slice(1), [
    [2 * MiB, to],
    [MiB + 5, to],
  ]);
  await Promise.all([read(MiB + 1005), read(MiB + 1005)]);
  assert.equal(ranges.splice(0).length, 1, 'one goes on, the other asks');
  await read(MiB + 2005, new AbortController().signal);
  assert.equal(ranges.length, 0, 'it goes on under another signal, too');
  await source.close();
  while (open.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

test('a reader that takes its time is no silence', async (t) => {
  const url = await serve(t, (request, response) => {
    const [start, end] = answerRange(request, response);
    response.end(file.subarray(start, end));
  });
  const source = await openHttpSource(url, { retryDelaysMs: [], silenceMs: 200 });
  const target = new Uint8Array(1000);
  await source.readInto(2 * MiB, target, undefined, 3 * MiB);
  await new Promise((resolve) => setTimeout(resolve, 400));
  await source.readInto(2 * MiB + 1000, target, undefined, 3 * MiB);
  assert.deepEqual(target, file.slice(2 * MiB + 1000, 2 * MiB + 2000));
  await source.close();
});

test('an answer that is read on from and breaks off is resumed, and an abort ends it', async (t) => {
  const starts: number[] = [];
  const url = await serve(t, (request, response) => {
    const [start, end] = answerRange(request, response);
    starts.push(start);
    if (starts.length !== 2) return response.end(file.subarray(start, end));
    response.write(file.subarray(start, start + 5000), () => setTimeout(() => response.destroy(), 100));
  });
  const source = await openHttpSource(url, quick);
  const controller = new AbortController();
  const target = new Uint8Array(4000);
  for (const offset of [2 * MiB, 2 * MiB + 4000]) {
    await source.readInto(offset, target, controller.signal, 3 * MiB);
    assert.deepEqual(target, file.slice(offset, offset + 4000));
  }
  assert.ok(starts.length >= 3, `${starts}`);
  controller.abort();
  await assert.rejects(source.readInto(2 * MiB + 8000, target, controller.signal), { code: 'aborted' });
  await source.close();
});

test('a host whose answers cannot be read into a buffer is served, too', async () => {
  const fetch = async (_: unknown, init?: RequestInit) => {
    const [, first, last] = /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get('range') ?? '') ?? [];
    const bytes = file.slice(Number(first), Number(last) + 1);
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        for (let at = 0; at < bytes.byteLength; at += 70_001)
          controller.enqueue(bytes.slice(at, at + 70_001));
        controller.close();
      },
    });
    const headers = { 'content-range': `bytes ${first}-${last}/${file.byteLength}` };
    return new Response(body, { status: 206, headers });
  };
  const source = await openHttpSource(new URL('https://example.org/x.gguf'), { fetch });
  const target = new Uint8Array(200_000);
  await source.readInto(1.5 * MiB, target, undefined, 3 * MiB);
  assert.ok(Buffer.from(target).equals(file.subarray(1.5 * MiB, 1.5 * MiB + 200_000)));
  await source.close();
});

test('a server that never delivers is given up on', async (t) => {
  let requestCount = 0;
  const url = await serve(t, (request, response) => {
    requestCount++;
    answerRange(request, response);
    response.write('', () => response.destroy());
  });
  await assert.rejects(openHttpSource(url, quick), { code: 'io', message: /4 times in a row/ });
  assert.equal(requestCount, 4);
});

test('silence is not waited for', async (t) => {
  const url = await serve(t, () => {});
  const opening = openHttpSource(url, { retryDelaysMs: [], silenceMs: 30 });
  await assert.rejects(opening, { code: 'io', message: /nothing arrived for 0\.03 s/ });
  const stalled = await serve(t, (request, response) => {
    const [start] = answerRange(request, response);
    response.write(file.subarray(start, start + 10));
  });
  await assert.rejects(openHttpSource(stalled, { retryDelaysMs: [], silenceMs: 100 }), { code: 'io' });
});

test('a busy server is asked again', async (t) => {
  let requestCount = 0;
  const url = await serve(t, (request, response) => {
    if (++requestCount < 3) return response.writeHead(requestCount === 1 ? 503 : 429).end();
    const [start, end] = answerRange(request, response);
    response.end(file.subarray(start, end));
  });
  assert.equal((await openHttpSource(url, quick)).byteLength, file.byteLength);
});

test('without ranges a small file is downloaded whole, a large one refused', async (t) => {
  const url = await serve(t, (_, response) => response.end(file));
  const source = await openHttpSource(url);
  const target = new Uint8Array(7);
  await source.readInto(file.byteLength - 7, target);
  assert.deepEqual(target, file.slice(-7));
  const announced = await serve(t, (_, response) => {
    response.writeHead(200, { 'content-length': 65 * MiB });
    response.write('GGUF');
  });
  const remedy = { code: 'unsupported', message: /does not answer byte ranges.*64 MiB; download it/ };
  await assert.rejects(openHttpSource(announced), remedy);
  const endless = await serve(t, (_, response) => {
    const more = () => response.write(file, () => response.destroyed || more());
    more();
  });
  await assert.rejects(openHttpSource(endless), remedy);
});

test('a whole answer shorter than announced is not taken for the file', async (t) => {
  const url = await serve(t, (_, response) => {
    response.writeHead(200, { 'content-length': 1000 });
    response.write(file.subarray(0, 500), () => setTimeout(() => response.destroy(), 20));
  });
  await assert.rejects(openHttpSource(url, { retryDelaysMs: [1] }), { code: 'io', message: /2 times/ });
});

test('statuses are told apart', async (t) => {
  const cases: readonly (readonly [number, string, RegExp])[] = [
    [404, 'not-found', /No file at http.*404/],
    [401, 'io', /token.*headers/],
    [403, 'io', /token.*headers/],
    [400, 'io', /HTTP 400/],
    [500, 'io', /HTTP 500, 4 times/],
  ];
  for (const [status, code, message] of cases) {
    const url = await serve(t, (_, response) => response.writeHead(status).end());
    await assert.rejects(openHttpSource(url, quick), { code, message });
  }
  const empty = await serve(t, (_, response) =>
    response.writeHead(416, { 'content-range': 'bytes */0' }).end(),
  );
  assert.equal((await openHttpSource(empty)).byteLength, 0);
});

test('a wrong range, and a file that changes meanwhile, are noticed', async (t) => {
  const shifted = await serve(t, (_, response) => {
    response.writeHead(206, { 'content-range': `bytes 1-100/${file.byteLength}` }).end(file.subarray(1, 101));
  });
  await assert.rejects(openHttpSource(shifted), { code: 'io', message: /byte 0 .*was asked for, byte 1/ });

  let later = false;
  const change = async (answer: (response: ServerResponse, start: number, end: number) => void) => {
    later = false;
    const url = await serve(t, (request, response) => {
      if (later) return answer(response, ...rangeOf(request, file.byteLength));
      const [start, end] = answerRange(request, response);
      response.end(file.subarray(start, end));
    });
    const source = await openHttpSource(url, quick);
    later = true;
    return source.readInto(2 * MiB, new Uint8Array(10));
  };
  const retagged = change((response, start, end) => {
    const range = `bytes ${start}-${end - 1}/${file.byteLength}`;
    response.writeHead(206, { 'content-range': range, etag: '"2"' }).end(file.subarray(start, end));
  });
  await assert.rejects(retagged, { code: 'bad-file', message: /changed on the server/ });
  const resized = change((response, start, end) => {
    response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/99999999`, etag: '"1"' });
    response.end(file.subarray(start, end));
  });
  await assert.rejects(resized, { code: 'io', message: /99999999/ });
  const whole = change((response) => response.writeHead(200).end(file));
  await assert.rejects(whole, { code: 'io', message: /stopped answering byte ranges/ });
});

test('a size that Content-Range does not show is asked for separately', async (t) => {
  const url = await serve(t, (request, response) => {
    if (request.method === 'HEAD')
      return response.writeHead(200, { 'content-length': file.byteLength }).end();
    const [start, end] = rangeOf(request, file.byteLength);
    response.writeHead(206).end(file.subarray(start, end));
  });
  const source = await openHttpSource(url);
  assert.equal(source.byteLength, file.byteLength);
  const target = new Uint8Array(9);
  await source.readInto(2 * MiB, target);
  assert.deepEqual(target, file.slice(2 * MiB, 2 * MiB + 9));
  const sizeless = await serve(t, (_, response) => response.writeHead(206).end('x'));
  await assert.rejects(openHttpSource(sizeless), { code: 'io', message: /does not tell the file's size/ });
});

test('an abort ends requests, bodies and pauses at once', async (t) => {
  const silent = await serve(t, () => {});
  const during = new AbortController();
  const opening = openHttpSource(silent, {}, during.signal);
  setTimeout(() => during.abort(), 20);
  await assert.rejects(opening, { code: 'aborted' });

  const busy = await serve(t, (_, response) => response.writeHead(503).end());
  const pausing = new AbortController();
  setTimeout(() => pausing.abort(), 50);
  await assert.rejects(openHttpSource(busy, { retryDelaysMs: [1e6] }, pausing.signal), { code: 'aborted' });

  const reading = new AbortController();
  const url = await serve(t, (request, response) => {
    const [start, end] = answerRange(request, response);
    if (start === 0) return response.end(file.subarray(start, end));
    response.write(file.subarray(start, start + 100), () => reading.abort());
  });
  const source = await openHttpSource(url, quick);
  await assert.rejects(source.readInto(2 * MiB, new Uint8Array(1000), reading.signal), { code: 'aborted' });
  await assert.rejects(source.readInto(0, new Uint8Array(1), reading.signal), { code: 'aborted' });
});

test('an address or headers that cannot be used are refused', async () => {
  const secret = openHttpSource(new URL('http://me:word@127.0.0.1/x.gguf'));
  await assert.rejects(
    secret,
    (error: Error) => /headers/.test(error.message) && !/word@/.test(error.message),
  );
  const headers = { 'bad header': 'x' };
  await assert.rejects(openHttpSource(new URL('http://127.0.0.1/x'), { headers }), { code: 'bad-argument' });
  const refused = openHttpSource(new URL('http://127.0.0.1:1/x.gguf'), quick);
  await assert.rejects(refused, { code: 'io', message: /connection failed \(.+\), 4 times/ });
});

test('the caller may bring another fetch', async () => {
  const source = await openHttpSource(new URL('https://example.org/x.gguf'), {
    fetch: async () =>
      new Response(file.slice(0, 50), { status: 206, headers: { 'content-range': 'bytes 0-49/50' } }),
  });
  assert.equal(source.byteLength, 50);
});
