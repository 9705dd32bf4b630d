/** Keeps the page itself on this device, and offers newer versions of it. */
import { find, makeButton } from './dom.ts';

export async function workOffline(): Promise<void> {
  const state = find('offline-state', HTMLParagraphElement);
  const workers = navigator.serviceWorker;
  // None in private windows of some browsers.
  if (!workers) return;
  try {
    const registration = await workers.register('service-worker.js');
    const offer = (waiting: ServiceWorker | null) => {
      if (!waiting || !workers.controller) return;
      const reload = makeButton('A newer version is here: reload', 'link', () => {
        workers.addEventListener('controllerchange', () => location.reload(), { once: true });
        waiting.postMessage('take over');
      });
      state.replaceChildren(reload);
    };
    offer(registration.waiting);
    registration.addEventListener('updatefound', () => {
      const { installing } = registration;
      installing?.addEventListener('statechange', () => offer(registration.waiting));
    });
    await workers.ready;
    if (state.childElementCount === 0) state.textContent = 'Works offline.';
  } catch {
    state.textContent = 'Works while connected only: the browser keeps no copy of this page.';
  }
}
