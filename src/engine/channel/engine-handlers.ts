/** What the engine worker does for each call: the engine and its sessions live here, the client holds their numbers. */
import { NearfieldError } from '../../base/error.ts';
import { nextTurn } from '../../base/platform.ts';
import type { Engine, GeneratedToken, LoadOptions, ModelInput, Session } from '../../engine.ts';
import type { CallContext, CallHandlers } from './call-host.ts';
import type { EngineCalls, LookCalls, SessionHandle } from './message.ts';
import { PacedBatches } from './paced-batches.ts';

type LoadEngine = (input: ModelInput, options: LoadOptions) => Promise<Engine>;

/** After this long without one, tokens wait for a turn of the event loop, so that an abort is heard. */
const turnEveryMs = 20;

/** For one engine: `load` comes first and once. */
export function engineHandlers(loadEngine: LoadEngine): Omit<CallHandlers, keyof LookCalls> {
  const sessions = new Map<SessionHandle, Session>();
  let loaded: Engine | undefined;
  let opened = 0;
  const engine = (): Engine => {
    if (loaded) return loaded;
    throw new NearfieldError('internal', 'The engine worker was asked before it had loaded a model');
  };
  const sessionOf = (handle: SessionHandle): Session => {
    const session = sessions.get(handle);
    if (session) return session;
    throw new NearfieldError('bad-argument', 'The session is closed');
  };
  const adopt = (session: Session): SessionHandle => {
    sessions.set(++opened, session);
    return opened;
  };

  return {
    load: async ({ input, options }, { signal, report }) => {
      loaded = await loadEngine(input, { ...options, signal, onProgress: report });
      return loaded.description;
    },
    tokenize: ({ text, options }) => engine().tokenize(text, options),
    detokenize: ({ ids, options }) => engine().detokenize(ids, options),
    render: ({ messages }) => engine().render(messages),
    memory: () => engine().memory(),
    changeMemoryBudget: ({ bytes }) => engine().changeMemoryBudget(bytes),
    streaming: () => engine().streaming(),
    deviceWork: () => engine().deviceWork(),
    machine: () => engine().machine(),
    openSession: async () => adopt(await engine().session()),
    restore: async ({ bytes }) => adopt(await engine().restore(bytes)),
    tokens: ({ session }) => sessionOf(session).tokens(),
    generate: (given, context) => generate(sessionOf(given.session), given, context),
    score: ({ session, ids, first, reportsLogits }, { signal, report }) =>
      sessionOf(session).score(ids, {
        signal,
        ...(first === undefined ? {} : { first }),
        ...(reportsLogits ? { onLogits: (row, logits) => report({ row, logits: logits.slice() }) } : {}),
      }),
    fork: async ({ session }) => adopt(await sessionOf(session).fork()),
    truncate: ({ session, length }) => sessionOf(session).truncate(length),
    pause: ({ session }) => sessionOf(session).pause(),
    resume: ({ session }) => sessionOf(session).resume(),
    save: async ({ session }, { transfer }) => {
      const bytes = await sessionOf(session).save();
      transfer(bytes.buffer);
      return bytes;
    },
    closeSession: async ({ session }) => {
      await sessions.get(session)?.close();
      sessions.delete(session);
    },
  };
}

async function generate(
  session: Session,
  { prompt, options, reportsPrompt }: EngineCalls['generate']['given'],
  { signal, report, onNote }: CallContext<'generate'>,
): Promise<EngineCalls['generate']['answer']> {
  const generation = session.generate(prompt, {
    ...options,
    signal,
    ...(reportsPrompt ? { onPrompt: (progress) => report({ prompt: progress }) } : {}),
  });
  const batches = new PacedBatches<GeneratedToken>((tokens) => report({ tokens }));
  onNote((note) => (note === 'taken' ? batches.taken() : batches.leave()));
  signal.addEventListener('abort', () => batches.release());
  let turnedMs = performance.now();
  try {
    for await (const token of generation) {
      batches.push(token);
      if (!(await batches.room())) break;
      if (performance.now() - turnedMs < turnEveryMs) continue;
      await nextTurn();
      turnedMs = performance.now();
    }
  } finally {
    batches.flush();
  }
  return generation.result();
}
