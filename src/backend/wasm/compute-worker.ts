/** A compute thread: takes the kernels and the shared memory, then walks tapes inside WebAssembly until told to leave. */
import { nextTurn, workerPort } from '../../base/platform.ts';
import { type ComputeStart, instantiateKernels } from './control.ts';

const port = workerPort();
port.onMessage(async (message) => {
  const { module, memory, thread } = message as ComputeStart;
  const kernels = instantiateKernels(module, memory);
  port.post('ready');
  // From then on the thread does not come back to its event loop, and some browsers deliver what it said only from there.
  await nextTurn();
  kernels.serve(thread);
  port.post('left');
  port.close();
});
port.post('here');
