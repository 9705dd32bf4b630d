/**
 * Serves the page's own files from the copies it made when it was installed. Whatever else is asked for goes to the network
 * as if it were not there. The build puts the names of the files, and a digest of them, in the place of `pageFiles`.
 */

declare const pageFiles: { readonly digest: string; readonly paths: readonly string[] };

/** What the compiler's library for pages lacks. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface WorkerScope {
  readonly registration: ServiceWorkerRegistration;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
}

const scope = globalThis as unknown as WorkerScope;
const cachePrefix = 'nearfield-page-';
const cacheName = `${cachePrefix}${pageFiles.digest}`;
const paths = new Set(pageFiles.paths);

/** A page that shares memory between threads needs these on itself and on its workers, whatever the server sends. */
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

scope.addEventListener('install', (event) => {
  const requests = pageFiles.paths.map((path) => new Request(path, { cache: 'reload' }));
  event.waitUntil(caches.open(cacheName).then((cache) => cache.addAll(requests)));
});

scope.addEventListener('activate', (event) => {
  event.waitUntil(removeOthers().then(() => scope.clients.claim()));
});

scope.addEventListener('message', ({ data }) => {
  if (data === 'take over') void scope.skipWaiting();
});

scope.addEventListener('fetch', (event) => {
  const path = pathOf(event.request);
  if (path !== undefined) event.respondWith(answer(path, event.request));
});

async function removeOthers(): Promise<void> {
  const names = await caches.keys();
  const others = names.filter((name) => name.startsWith(cachePrefix) && name !== cacheName);
  await Promise.all(others.map((name) => caches.delete(name)));
}

/** Of the page's own files; undefined for whatever else is asked for. */
function pathOf({ method, url }: Request): string | undefined {
  const base = scope.registration.scope;
  if (method !== 'GET' || !url.startsWith(base)) return undefined;
  const path = url.slice(base.length).split(/[?#]/)[0] || 'index.html';
  return paths.has(path) ? path : undefined;
}

async function answer(path: string, request: Request): Promise<Response> {
  const cache = await caches.open(cacheName);
  const kept = (await cache.match(path)) ?? (await fetch(request));
  const headers = new Headers(kept.headers);
  for (const [name, value] of Object.entries(isolation)) headers.set(name, value);
  return new Response(kept.body, { status: kept.status, statusText: kept.statusText, headers });
}
