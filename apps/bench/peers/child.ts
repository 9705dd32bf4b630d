/** A child process with one contender in it; started by `child-contender.ts`. */
import type { Call, Contender, ContenderSpec, Reply } from './contender.ts';
import { openNativeContender } from './open-native.ts';
import { openNearfieldContender } from './open-nearfield.ts';
import { openPageContender } from './open-page.ts';

const openers: Record<ContenderSpec['kind'], (spec: ContenderSpec) => Promise<Contender>> = {
  'nearfield-node': openNearfieldContender,
  'nearfield-chromium': openPageContender,
  native: openNativeContender,
  'wllama-2': openPageContender,
  'wllama-latest': openPageContender,
};

async function answer(contender: Contender, { operation, parameters }: Call): Promise<number> {
  const [depth = 0, count = 0] = parameters;
  switch (operation) {
    case 'fill':
      return contender.fill(depth);
    case 'prompt':
      return contender.prompt(depth, count);
    case 'decode':
      return contender.decode(depth, count);
    case 'step':
      return (await contender.step?.(depth, count)) ?? Number.NaN;
    case 'peakBytes':
      return contender.peakBytes();
    case 'close':
      await contender.close();
      return 0;
  }
}

const send = (reply: Reply): void => void process.send?.(reply);
const failed = (id: number, error: unknown): void =>
  send({ id, error: error instanceof Error ? error.message : String(error) });

const spec = JSON.parse(process.argv[2] ?? '{}') as ContenderSpec;
process.on('disconnect', () => process.exit());
try {
  const contender = await openers[spec.kind](spec);
  const { about, firstTokenAtMs, startedAtMs = performance.timeOrigin } = contender;
  process.on('message', (call: Call) => {
    answer(contender, call).then(
      (value) => send({ id: call.id, value }),
      (error) => failed(call.id, error),
    );
  });
  send({ id: 0, value: { about, firstTokenAtMs, startedAtMs, canStep: contender.step !== undefined } });
} catch (error) {
  failed(0, error);
}
