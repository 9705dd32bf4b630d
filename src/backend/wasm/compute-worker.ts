/** A compute thread: takes the kernels and the shared memory, then walks tapes inside WebAssembly until told to leave. */
import { workerPort } from '../../base/platform.ts';
import { type ComputeStart, instantiateKernels } from './control.ts';

const port = workerPort();
port.onMessage((message) => {
  const { module, memory, thread } = message as ComputeStart;
  const kernels = instantiateKernels(module, memory);
  port.post('ready');
  kernels.serve(thread);
  port.post('left');
  port.close();
});
