/**
 * Chooses how many threads compute, where the user has not: more are slower where processors share a core's units or the
 * memory is the limit, where a container may use fewer than it sees, or where another program keeps some busy. Decoding
 * repeats one tape, so now and then a few of its runs are tried with half or twice as many threads, and what is faster stays.
 */

/** Runs before the first trial and after one that changed something; after one that did not, twice as many as the last time. */
const [soonRuns, fewestRuns, mostRuns] = [8, 64, 512];
/** Runs with either number in a trial, in turn. */
const runsEach = 3;
/** Of the time before: what counts as faster, what ends a trial at once, and what calls for one. */
const [faster, hopeless, slower] = [0.95, 1.2, 1.3];
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
  /** Microseconds of its runs lately, and at the last trial. */
  #usualUs = 0;
  #levelUs = 0;
  #runs = 0;
  #restRuns = soonRuns;
  #goesDown = true;
  /** Threads of the trial under way, and runs in it; 0: none. */
  #candidate = 0;
  #runsTried = 0;
  readonly #here = new Float64Array(runsEach);
  readonly #there = new Float64Array(runsEach);

  constructor(most: number) {
    this.#most = most;
    this.#count = most;
  }

  get count(): number {
    return this.#count;
  }

  threadsFor(tape: Tape): number {
    const isTried = this.#candidate > 0 && tape === this.#tape && this.#runsTried % 2 === 1;
    return isTried ? this.#candidate : this.#count;
  }

  took(tape: Tape, us: number): void {
    if (tape !== this.#tape && !this.#adopt(tape, us)) return;
    this.#strangers = 0;
    if (this.#candidate > 0) {
      this.#try(us);
      return;
    }
    this.#usualUs += (us - this.#usualUs) / soonRuns;
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
    this.#levelUs = Number.POSITIVE_INFINITY;
    this.#candidate = 0;
    this.#runs = 0;
    this.#restRuns = soonRuns;
    return true;
  }

  #begin(): void {
    this.#runs = 0;
    this.#runsTried = 0;
    this.#levelUs = this.#usualUs;
    const isPossible = this.#goesDown ? this.#count > 1 : this.#count < this.#most;
    if (!isPossible) this.#goesDown = !this.#goesDown;
    this.#candidate = this.#goesDown ? Math.max(1, this.#count >> 1) : Math.min(this.#most, this.#count * 2);
    if (this.#candidate === this.#count) this.#candidate = 0;
  }

  #try(us: number): void {
    const times = this.#runsTried % 2 === 0 ? this.#here : this.#there;
    times[this.#runsTried >> 1] = us;
    this.#runsTried++;
    const isHopeless = this.#runsTried === 2 && (this.#there[0] ?? 0) > hopeless * (this.#here[0] ?? 0);
    if (!isHopeless && this.#runsTried < 2 * runsEach) return;
    const isFaster = !isHopeless && middle(this.#there) < faster * middle(this.#here);
    if (isFaster) {
      this.#count = this.#candidate;
      this.#restRuns = soonRuns;
      this.#usualUs = middle(this.#there);
    } else {
      this.#goesDown = !this.#goesDown;
      this.#restRuns = Math.min(mostRuns, Math.max(fewestRuns, this.#restRuns * 2));
    }
    this.#levelUs = this.#usualUs;
    this.#candidate = 0;
  }
}

function middle(times: Float64Array): number {
  times.sort();
  return times[times.length >> 1] ?? 0;
}
