/** Opens everything an engine needs on this thread, from the file to the executor; on failure frees it in reverse order. */
import { openModel } from '../architecture.ts';
import { automaticBackends, type Backend, type BackendName, openBackend } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import { openCheckpoint } from '../checkpoint.ts';
import { fallbackNames, proposerNames } from '../decoder.ts';
import type { Engine, LoadOptions, ModelInput } from '../engine.ts';
import { cacheTypes } from '../graph.ts';
import { tokenCost } from '../plan.ts';
import { openTokenizer } from '../tokenizer.ts';
import { openBudget, repackWeights } from '../weights.ts';
import { openChat } from './chat.ts';
import { checkChoice } from './check-arguments.ts';
import { chooseBackend, startCandidates } from './choose-backend.ts';
import { Draft } from './draft.ts';
import { LocalEngine } from './local-engine.ts';
import { measureRequest } from './measure-speed.ts';
import { hashModel } from './model-hash.ts';
import { type Machine, openMachine, rowsWithRoom } from './open-machine.ts';
import { openParts } from './open-parts.ts';
import { describeStream } from './open-weights.ts';
import { defaultCacheType, mannersOf, selectedRows } from './pass-bounds.ts';
import { PresentParts } from './present-parts.ts';
import { Recovery } from './recovery.ts';

export interface LocalLoadOptions extends LoadOptions {
  /** Where each memory of the backend ends (`BackendOptions`). */
  readonly memoryBytes?: number;
}

export async function loadLocalEngine(input: ModelInput, options: LocalLoadOptions): Promise<Engine> {
  const began = performance.now();
  const { signal, onProgress, assets, headers } = options;
  const opened = new Cleanup();
  try {
    throwIfAborted(signal);
    checkChoice('cacheType', options.cacheType, cacheTypes);
    checkChoice('decoder', options.decoder, proposerNames);
    checkChoice('fallback', options.fallback, fallbackNames);
    const budget = openBudget(options.memoryBudget);
    const { threads, memoryBytes } = options;
    const { chunkRows, cut, gaps } = mannersOf(options.priority);
    const machineOptions = {
      ...(threads === undefined ? {} : { threads }),
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(assets ? { assets } : {}),
      ...(gaps ? { pace: gaps } : {}),
      facts: { folder: options.cacheFolder },
    };
    // Threads take a while to start.
    const candidates = startCandidates(options.backend, { ...machineOptions, memories: 1 }, opened);
    const checkpoint = opened.add(await openCheckpoint(input, { signal, headers }), (file) => file.close());
    onProgress?.({ stage: 'open', loadedBytes: 0, totalBytes: checkpoint.byteLength });
    const model = await openModel(checkpoint, signal);
    const tokenizer = openTokenizer(checkpoint.metadata);
    const chat = openChat(checkpoint.metadata, tokenizer);
    const maxRows = wholeOption('chunkRows', options.chunkRows ?? chunkRows, 1 << 16);
    const trained = model.description.contextLength;
    const statedLength = wholeOption('contextLength', options.contextLength ?? trained, 1 << 24);
    const graph = model.build({
      ...{ maxRows, maxSelected: Math.min(maxRows, selectedRows), contextLength: statedLength },
    });
    if (statedLength > graph.positionCount) {
      throw new NearfieldError(
        'bad-argument',
        `The model knows ${graph.positionCount} positions, so its context cannot be ${statedLength}`,
      );
    }
    const choice = await chooseBackend(candidates, (candidate) => measureRequest(graph, candidate, signal));
    const { name } = choice;
    const { cacheType = defaultCacheType(name) } = options;
    const planOptions = { cacheType, cacheRows: rowsWithRoom(options.contextLength, trained), cut };
    const { limitBytes } = budget;
    const machine = await openMachine(
      choice.backend,
      name,
      machineOptions,
      graph,
      planOptions,
      limitBytes,
      opened,
    );
    const { backend } = machine;
    const draftQuestion = {
      target: { tokenizer, metadata: checkpoint.metadata },
      ...{
        backendOptions: machineOptions,
        budget,
        contextLength: statedLength,
        maxRows,
        cacheType,
        cut,
        gaps,
      },
    };
    const draft =
      options.draft === undefined
        ? undefined
        : await Draft.open(options.draft, draftQuestion, options, opened);
    const question = { checkpoint, model, budget, draft, cacheType, chunkRows, gaps };
    const openOn = async (on: Machine, name: BackendName, length: number | undefined, held: Cleanup) => {
      await draft?.place({ name, backend: on.backend, memories: on.plan?.weightBytes.length ?? 1 }, held);
      const wanted = length === undefined ? options : { ...options, contextLength: length };
      return openParts(on, { ...question, statedLength: length ?? statedLength }, wanted, held);
    };
    const openStandIn = async (standIn: BackendName, length: number | undefined, held: Cleanup) => {
      const second = await openBackend(standIn, { ...machineOptions, memories: 1 });
      held.add(second, (other) => other.close());
      const other = await openMachine(second, standIn, machineOptions, graph, planOptions, limitBytes, held);
      return openOn(other, standIn, length, held);
    };
    const standIn = standInFor(name, backend);
    const present = opened.add(
      await PresentParts.open(
        { name, backend, open: (held) => openOn(machine, name, undefined, held) },
        standIn && { name: standIn, open: (length, held) => openStandIn(standIn, length, held) },
      ),
      (parts) => parts.close(),
    );
    const recovery = Recovery.of({
      backend: () => present.parts.backend,
      async repack() {
        const { weights, plan, backend: lost } = present.parts;
        await repackWeights(weights, plan.graph.weights, lost, checkpoint);
        await draft?.repack(lost);
      },
      takeOver: present.takeOver,
    });
    const { plan, stream, contextLength } = present.parts;
    onProgress?.({ stage: 'ready', loadedBytes: checkpoint.byteLength, totalBytes: checkpoint.byteLength });
    throwIfAborted(signal);
    const warnings = [...(tokenizer.warnings ?? [])];
    if (contextLength > trained)
      warnings.push(
        `The context of ${contextLength} is longer than the ${trained} rows the model was trained for`,
      );
    if (contextLength < statedLength)
      warnings.push(
        `The memory budget leaves room for a context of ${contextLength} rows; state one to have another`,
      );
    return new LocalEngine({
      ...{ tokenizer, chat, contextLength, budget, draft, recovery },
      ...{ cache: present.cache, executor: present.executor },
      ...{ decoder: options.decoder, fallback: options.fallback },
      weights: () => present.parts.weights,
      threads: () => present.parts.backend.threads,
      machine: () => present.report(),
      deviceWork: () => present.parts.backend.work?.(),
      // Pages are bytes in the backend's own layout, so a snapshot fits this backend and this model only.
      snapshotKey: () => {
        const { pageBytes } = present.parts.plan.cache;
        return hashModel(checkpoint, `${present.name}, ${cacheType}, ${pageBytes} bytes a page`);
      },
      close: () => opened.close(),
      description: {
        source: checkpoint.name,
        ...model.description,
        contextLength,
        fileBytes: checkpoint.byteLength,
        cacheType,
        backend: present.name,
        backendReason: choice.reason,
        perToken: tokenCost(plan, present.parts.backend.describe()),
        threads: present.parts.backend.threads,
        loadMs: performance.now() - began,
        hasChatTemplate: chat.hasTemplate,
        streaming: stream && describeStream(stream),
        draft: draft && {
          source: draft.source,
          name: draft.description.name,
          parameterCount: draft.description.parameterCount,
          contextLength: draft.contextLength,
        },
        warnings,
      },
    });
  } catch (error) {
    await opened.close().catch(() => {});
    throw error;
  }
}

/** A backend that opens on every host, for one that may be lost. */
function standInFor(name: BackendName, backend: Backend): BackendName | undefined {
  const [first] = automaticBackends;
  return backend.recover && first !== name ? first : undefined;
}

function wholeOption(name: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new NearfieldError('bad-argument', `${name} is a whole number from 1 to ${most}, not ${value}`);
}
