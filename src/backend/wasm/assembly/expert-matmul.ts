/**
 * Products by the weights of chosen experts. The tape entry is that of a matmul of one part, or a gated one, whose matrices
 * lie one behind the other; `units` are those of one expert. The four words before the parts are
 *   [routes, experts, chosen for a row, places that share a row of x].
 * A place is row · chosen + index among the chosen: the result's rows are places. Each thread sorts the places by expert for
 * itself, which takes less than a barrier would: so the weights of an expert are read once for all its rows, and the
 * experts that nobody chose are passed over.
 */
import { claimInOrder } from './machine';
import { PARTS, runGroups } from './matmul';

/** In a thread's scratch: for each expert the end of its places, the experts that have any, the places. */
const ENDS: usize = 2048;
const ACTIVE: usize = ENDS + 4 * 4096;
const SORTED: usize = ACTIVE + 4 * 4096;
const MOST_PLACES: i32 = 16384;

export function expertMatmul(args: usize, scratch: usize): void {
  const rows = load<i32>(args);
  const share = load<i32>(args, 28);
  const unitsOfExpert = load<i32>(args, 32);
  const part = args + PARTS;
  const groups = (load<i32>(part, 16) + 15) >> 4;
  const most = MOST_PLACES / load<i32>(args, 44);
  let unit = claimInOrder();
  let end = 0;
  for (let row = 0; row < rows; row += most) {
    const begin = end;
    end += sortPlaces(args, row, min(rows, row + most), scratch) * unitsOfExpert;
    for (; unit < end; unit = claimInOrder()) {
      const expert = load<i32>(scratch + ACTIVE + (<usize>((unit - begin) / unitsOfExpert) << 2));
      const ends = scratch + ENDS + (<usize>expert << 2);
      const first = expert == 0 ? 0 : load<i32>(ends - 4);
      const list = scratch + SORTED + (<usize>first << 2);
      const group = ((unit - begin) % unitsOfExpert) * share;
      runGroups(args, part, group, min(groups, group + share), expert, list, load<i32>(ends) - first, scratch);
    }
  }
}

/** Sorts the places of some rows by their expert, in order within one; returns how many experts have any. */
function sortPlaces(args: usize, row: i32, end: i32, scratch: usize): i32 {
  const experts = load<i32>(args, 40);
  const chosen = load<i32>(args, 44);
  const routes = <usize>load<u32>(args, 36);
  const ends = scratch + ENDS;
  memory.fill(ends, 0, <usize>experts << 2);
  for (let place = row * chosen; place < end * chosen; place++) {
    const own = ends + (<usize>expertOf(routes, chosen, place) << 2);
    store<i32>(own, load<i32>(own) + 1);
  }
  let active = 0;
  let total = 0;
  for (let expert = 0; expert < experts; expert++) {
    const own = ends + (<usize>expert << 2);
    const count = load<i32>(own);
    store<i32>(own, total);
    if (count == 0) continue;
    store<i32>(scratch + ACTIVE + (<usize>active << 2), expert);
    active++;
    total += count;
  }
  for (let place = row * chosen; place < end * chosen; place++) {
    const own = ends + (<usize>expertOf(routes, chosen, place) << 2);
    const next = load<i32>(own);
    store<i32>(scratch + SORTED + (<usize>next << 2), place);
    store<i32>(own, next + 1);
  }
  return active;
}

/** Of a row's routes the first half are numbers of experts. */
@inline
function expertOf(routes: usize, chosen: i32, place: i32): i32 {
  const row = place / chosen;
  return <i32>load<f32>(routes + (<usize>(place + row * chosen) << 2));
}
