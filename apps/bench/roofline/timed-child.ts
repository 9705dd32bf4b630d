/** Process of `time-classes.ts`: model path and phases in, times out. */
import { type Phase, timeClasses } from './time-classes.ts';

const [path = '', phases = '[]'] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await timeClasses(path, JSON.parse(phases) as Phase[])));
