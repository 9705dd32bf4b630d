/**
 * Compute threads over one shared memory. Short tapes run on the caller's own thread, in thread 0's place: the caller
 * would only wait for them, and need not be woken. Thread 0's worker has a ring of its own and sleeps meanwhile; it takes
 * over where the others keep the caller waiting.
 */
import type { Ticket } from '../../backend.ts';
import { NearfieldError } from '../../base/error.ts';
import { canBlock, type HostWorker, nextTurn, openPulse } from '../../base/platform.ts';
import { CallerThread } from './caller-thread.ts';
import { controlWords, type KernelExports, ringLength } from './control.ts';
import { type Tape, type TapeRunner, untimed } from './tape-runner.ts';
import type { ThreadChoice } from './thread-tuner.ts';

/** How often waiting threads are woken in case a notification was lost on the way. */
const pulseMs = 100;
/** Of a tape on the caller's thread: the clock is asked after so many entries, and it is left to the worker after so long. */
const [entriesBetweenLooks, longestUs] = [64, 25_000];

/** Up to so many rows a step is bound by memory. */
const fewRows = 16;

/** One of the `ringLength` tapes that may be under way. */
interface Slot {
  tape: Tape;
  ticket: Ticket;
  isCancelled: boolean;
}

export interface ThreadPoolOptions {
  readonly memory: WebAssembly.Memory;
  /** The caller's own instance over this memory. */
  readonly kernels: KernelExports;
  /** As `StartedThreads` gives them. */
  readonly workers: readonly HostWorker[];
  /** How many of them compute steps of few rows; without it all do. */
  readonly choice?: ThreadChoice<Tape> | undefined;
  /** Tapes below this run on the caller's thread, where it may wait for the others; 0: none does. */
  readonly shortUs?: number;
  /** How long the caller waits at a barrier before it leaves the tape to thread 0's worker. */
  readonly patienceUs?: number;
}

export class ThreadPool implements TapeRunner {
  readonly #choice: ThreadChoice<Tape> | undefined;
  /** Threads that compute the tapes submitted now. */
  #computing: number;
  readonly #control: Int32Array;
  readonly #caller: CallerThread;
  readonly #workers: readonly HostWorker[];
  readonly #shortUs: number;
  readonly #slots: (Slot | undefined)[] = new Array(ringLength).fill(undefined);
  /** Numbers of tapes, from 0 on; they wrap at 2^31, as in the control block. Those from `settled` on are under way. */
  #submitted = 0;
  #settled = 0;
  /** Tapes given to thread 0's worker. */
  #given = 0;
  readonly #pulse = openPulse(pulseMs, () => this.#beat());
  /** The watch that is under way; a newer one replaces it. */
  #watch = 0;
  #failure: NearfieldError | undefined;

  constructor(options: ThreadPoolOptions) {
    const { memory, kernels, workers, shortUs = 16_000, patienceUs = 20_000 } = options;
    this.#control = new Int32Array(memory.buffer);
    this.#caller = new CallerThread(kernels, patienceUs);
    this.#workers = workers;
    this.#shortUs = canBlock() ? shortUs : 0;
    this.#computing = workers.length;
    this.#choice = options.choice;
    for (const worker of workers) worker.onError((error) => this.#fail(error));
  }

  get threads(): number {
    return this.#choice?.count ?? this.#workers.length;
  }

  submit(tape: Tape, ticket: Ticket): void {
    if (this.#failure) {
      ticket.fail(this.#failure);
      return;
    }
    if (this.#settled !== this.#submitted) this.#settle();
    const isAlone = this.#settled === this.#submitted;
    if (((this.#submitted - this.#settled) | 0) >= ringLength - 2) {
      throw new NearfieldError('internal', `More than ${ringLength - 2} tapes are under way`);
    }
    if (isAlone && this.#choice) this.#employ(threadsFor(tape, this.#choice, this.#workers.length));
    const slot = slotOf(this.#submitted);
    this.#send(tape.address);
    const from = isAlone && tape.microseconds < this.#shortUs ? this.#compute(tape) : tape.address;
    if (from === 0) {
      this.#settled = this.#submitted;
      this.#caller.turnIfDue(ticket);
      return;
    }
    this.#slots[slot] = { tape, ticket, isCancelled: false };
    tape.underWay++;
    ticket.begin(this);
    this.#give(from);
    if (isAlone) {
      this.#pulse.hold();
      this.#watchFinished();
    } else if (this.#slots[slotOf(this.#settled)]?.ticket === ticket) {
      Atomics.store(this.#control, controlWords.wanted, this.#submitted);
    }
  }

  cancel(ticket: Ticket): void {
    for (let number = this.#settled; number !== this.#submitted; number = (number + 1) | 0) {
      const entry = this.#slots[slotOf(number)];
      if (entry?.ticket === ticket) entry.isCancelled = true;
    }
    this.#announceCancelled();
  }

  /** Tapes under way are not waited for; their tickets are rejected. */
  async close(): Promise<void> {
    this.#fail(new Error('the backend was closed'));
    this.#pulse.end();
    this.#send(0);
    this.#give(0);
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  /** To all threads but 0. */
  #send(address: number): void {
    const control = this.#control;
    control[controlWords.ring + slotOf(this.#submitted)] = address;
    this.#submitted = (this.#submitted + 1) | 0;
    Atomics.store(control, controlWords.submitted, this.#submitted);
    if (Atomics.load(control, controlWords.tapeSleepers) > 0) Atomics.notify(control, controlWords.submitted);
  }

  /** To thread 0's worker. */
  #give(from: number): void {
    const control = this.#control;
    control[controlWords.givenRing + slotOf(this.#given)] = from;
    this.#given = (this.#given + 1) | 0;
    Atomics.store(control, controlWords.given, this.#given);
    Atomics.notify(control, controlWords.given);
  }

  /** Sets how many threads compute from now on, when every tape is done. The others sleep. */
  #employ(count: number): void {
    if (count === this.#computing) return;
    const control = this.#control;
    Atomics.store(control, controlWords.since, this.#submitted);
    Atomics.store(control, controlWords.threads, count);
    if (count > this.#computing) Atomics.notify(control, controlWords.threads);
    this.#computing = count;
  }

  /** What a run with the threads that compute now has taken. */
  #learn(tape: Tape, us: number): void {
    if (tape.rows === 1 && this.#choice?.threadsFor(tape) === this.#computing) this.#choice.took(tape, us);
  }

  /** In thread 0's place. Returns 0 when the tape is done, else where its worker has to go on. */
  #compute(tape: Tape): number {
    try {
      const from = this.#caller.run(tape, tape.address, entriesBetweenLooks, longestUs);
      if (from === 0 && tape.runsSince === 0) this.#learn(tape, tape.microseconds);
      return from;
    } catch (cause) {
      this.#fail(cause instanceof Error ? cause : new Error(String(cause)));
      throw this.#failure;
    }
  }

  /** Settles tickets as their tapes finish, until nothing is under way. */
  #watchFinished(): void {
    const watch = ++this.#watch;
    for (;;) {
      const finished = this.#settle();
      if (this.#settled === this.#submitted) return;
      Atomics.store(this.#control, controlWords.wanted, this.#lastOfFirstTicket());
      const change = changed(this.#control, controlWords.finished, finished);
      if (!change) continue;
      void change.then(() => {
        if (watch !== this.#watch) return;
        this.#caller.turned();
        this.#watchFinished();
      });
      return;
    }
  }

  /** How many tapes have run once the ticket that was first is done: its caller waits for the last of them. */
  #lastOfFirstTicket(): number {
    const first = this.#slots[slotOf(this.#settled)];
    let last = this.#settled;
    for (let number = last; number !== this.#submitted; number = (number + 1) | 0) {
      if (this.#slots[slotOf(number)]?.ticket === first?.ticket) last = number;
    }
    return (last + 1) | 0;
  }

  /** Settles what has finished; returns the number of finished tapes it went by. */
  #settle(): number {
    const finished = Atomics.load(this.#control, controlWords.finished);
    while (this.#settled !== finished) {
      const slot = slotOf(this.#settled);
      const entry = this.#slots[slot];
      this.#slots[slot] = undefined;
      this.#settled = (this.#settled + 1) | 0;
      if (!entry) continue;
      const { tape, ticket, isCancelled } = entry;
      tape.underWay--;
      tape.microseconds = isCancelled ? untimed : (this.#control[controlWords.times + slot] ?? untimed);
      if (tape.microseconds < untimed) this.#learn(tape, tape.microseconds);
      ticket.end(isCancelled ? new NearfieldError('aborted', 'Aborted by the caller') : undefined);
    }
    if (this.#settled === this.#submitted) this.#pulse.rest();
    else this.#announceCancelled();
    return finished;
  }

  /** Threads leave the tapes up to a number alone: the cancelled ones before the first that is not. */
  #announceCancelled(): void {
    let number = this.#settled;
    while (number !== this.#submitted && this.#slots[slotOf(number)]?.isCancelled) number = (number + 1) | 0;
    if (number !== this.#settled) Atomics.store(this.#control, controlWords.cancel, number);
  }

  #beat(): void {
    if (this.#settled === this.#submitted) return;
    const { submitted, given, generation, threads } = controlWords;
    for (const word of [submitted, given, generation, threads]) Atomics.notify(this.#control, word);
    this.#watchFinished();
  }

  #fail(cause: Error): void {
    this.#failure ??= new NearfieldError('backend', `A compute thread failed: ${cause.message}`, { cause });
    this.#settled = this.#submitted;
    for (const [slot, entry] of this.#slots.entries()) {
      this.#slots[slot] = undefined;
      entry?.ticket.end(this.#failure);
    }
    // Whoever waits for a change holds all of this.
    this.#watch++;
    Atomics.notify(this.#control, controlWords.finished);
    this.#pulse.rest();
  }
}

const slotOf = (number: number): number => number & (ringLength - 1);

/** Many rows are bound by arithmetic, of which all threads do their part. */
function threadsFor(tape: Tape, choice: ThreadChoice<Tape>, most: number): number {
  if (tape.rows === 1) return choice.threadsFor(tape);
  return tape.rows <= fewRows ? choice.count : most;
}

/** Resolves when the word is no longer `value`, and sometimes before; undefined where it is not. */
function changed(words: Int32Array, index: number, value: number): Promise<unknown> | undefined {
  if (typeof Atomics.waitAsync === 'function') {
    const wait = Atomics.waitAsync(words, index, value);
    return wait.async ? wait.value : undefined;
  }
  return Atomics.load(words, index) === value ? nextTurn() : undefined;
}
