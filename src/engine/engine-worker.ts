/** The engine worker's script: an engine on this thread, served to the client that started it. */
import { workerPort } from '../base/platform.ts';
import { serveCalls } from './channel/call-host.ts';
import { engineHandlers } from './channel/engine-handlers.ts';
import { loadLocalEngine } from './load-local.ts';

serveCalls(workerPort(), engineHandlers(loadLocalEngine));
