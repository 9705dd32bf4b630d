/**
 * Chooses how many threads compute, where the user has not: more are slower where processors share a core's units or the
 * memory is the limit, where a container may use fewer than it sees, or where another program keeps some busy. Decoding
 * repeats one tape, so now and then a few of its runs are tried with half or twice as many threads, and what is faster stays.
 */

/** Runs before the first trial and after one that changed something; after one that did not, twice as many as the last time. */
const [soonRuns, mostRuns] = [24, 768];
/** Runs with the other number in a trial, every second one. */
const runsTried = 4;
/** Of the time before: what counts as faster, what ends a trial at once, and what calls for one. */
const [faster, hopeless, slower] = [0.95, 1.4, 1.3];
/** Runs that the usual time is a mean of: where processors are taken away now and then, the mean is what counts. */
const usualRuns = 12;
/** Runs of other tapes after which the one that was watched is given up. */
const mostStrangers = 64;

/** What a pool asks before it runs a tape. */
export interface ThreadChoice<Tape> {
  /** Threads that were fastest so far. */
  readonly count: number;
  /** Threads for the next run of a tape that comes again and again. */
  threadsFor(tape: Tape): number;
  /** It ran alone for so long, with the threads that `threadsFor` named. */
  took(tape: Tape, us: number): void;
}

export class ThreadTuner<Tape extends object> implements ThreadChoice<Tape> {
  readonly #most: number;
  #count: number;
  /** The longest of those that come again and again. */
  #tape: Tape | undefined;
  #strangers = 0;
  /** Microseconds of its runs lately, and how many of them there were; the first is not counted, it may be slow. */
  #usualUs = 0;
  #usualCount = 0;
  /** The usual time at the last trial. */
  #levelUs = 0;
  #runs = 0;
  #restRuns = soonRuns;
  #goesDown = true;
  /** Threads of the trial under way, and runs in it; 0: none. */
  #candidate = 0;
  #trialRuns = 0;
  #triedUs = 0;

  constructor(most: number) {
    this.#most = most;
    this.#count = most;
  }

  get count(): number {
    return this.#count;
  }

  threadsFor(tape: Tape): number {
    const isTried = this.#candidate > 0 && tape === this.#tape && this.#trialRuns % 2 === 1;
    return isTried ? this.#candidate : this.#count;
  }

  took(tape: Tape, us: number): void {
    if (tape !== this.#tape && !this.#adopt(tape, us)) return;
    this.#strangers = 0;
    if (this.#candidate > 0) {
      this.#try(us);
      return;
    }
    this.#note(us);
    this.#runs++;
    const isSlower = this.#runs >= soonRuns && this.#usualUs > slower * this.#levelUs;
    if (this.#runs >= this.#restRuns || isSlower) this.#begin();
  }

  #adopt(tape: Tape, us: number): boolean {
    this.#strangers++;
    const isLonger = us > 1.5 * this.#usualUs;
    if (this.#tape && !isLonger && this.#strangers <= mostStrangers) return false;
    this.#tape = tape;
    this.#usualUs = us;
    this.#usualCount = 0;
    this.#levelUs = Number.POSITIVE_INFINITY;
    this.#candidate = 0;
    this.#runs = 0;
    this.#restRuns = soonRuns;
    return true;
  }

  #note(us: number): void {
    this.#usualCount = Math.min(usualRuns, this.#usualCount + 1);
    this.#usualUs += (us - this.#usualUs) / this.#usualCount;
  }

  #begin(): void {
    this.#runs = 0;
    this.#trialRuns = 0;
    this.#triedUs = 0;
    this.#levelUs = this.#usualUs;
    const isPossible = this.#goesDown ? this.#count > 1 : this.#count < this.#most;
    if (!isPossible) this.#goesDown = !this.#goesDown;
    this.#candidate = this.#goesDown ? Math.max(1, this.#count >> 1) : Math.min(this.#most, this.#count * 2);
    if (this.#candidate === this.#count) this.#candidate = 0;
  }

  #try(us: number): void {
    this.#trialRuns++;
    if (this.#trialRuns % 2 === 1) {
      this.#note(us);
      return;
    }
    this.#triedUs += us;
    const tried = this.#trialRuns / 2;
    const mean = this.#triedUs / tried;
    const isHopeless = tried === 1 && mean > hopeless * this.#usualUs;
    if (!isHopeless && tried < runsTried) return;
    if (mean < faster * this.#usualUs) {
      this.#count = this.#candidate;
      this.#restRuns = soonRuns;
      this.#usualUs = mean;
    } else {
      this.#goesDown = !this.#goesDown;
      this.#restRuns = Math.min(mostRuns, this.#restRuns * 2);
    }
    this.#levelUs = this.#usualUs;
    this.#candidate = 0;
  }
}
