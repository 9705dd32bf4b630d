/** Process of `time-classes.ts`: model path, cache type and phases in, times out. */
import type { CacheType } from '../../../src/graph.ts';
import { type Phase, timeClasses } from './time-classes.ts';

const [path = '', cacheType = 'f16', phases = '[]'] = process.argv.slice(2);
const times = await timeClasses(path, cacheType as CacheType, JSON.parse(phases) as Phase[]);
process.stdout.write(JSON.stringify(times));
