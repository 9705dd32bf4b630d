/** The engine worker's script: an engine on this thread, and looks at models, served to the client that started it. */
import { workerPort } from '../base/platform.ts';
import { serveCalls } from './channel/call-host.ts';
import { engineHandlers } from './channel/engine-handlers.ts';
import { estimateModel } from './estimate.ts';
import { inspectModel } from './inspect.ts';
import { keepLocally } from './kept-models.ts';
import { loadLocalEngine } from './load-local.ts';

serveCalls(workerPort(), {
  ...engineHandlers(loadLocalEngine),
  inspect: ({ input, options }, { signal }) => inspectModel(input, { ...options, signal }),
  estimate: ({ input, options }, { signal }) => estimateModel(input, { ...options, signal }),
  keep: ({ input, options }, { signal, report }) =>
    keepLocally(input, { ...options, signal, onProgress: report }),
});
