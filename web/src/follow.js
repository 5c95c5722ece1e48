// A stored file is followed until its jobs are final: by the stream of events while there is one, and else by reads that wait on the server.
import { getFile, Problem } from './api.js';
import { leave, listen, streaming } from './stream.js';
import { turns } from './turns.js';

const READS_AT_ONCE = 2;
const WAIT_S = 10;
const PAUSE_MS = [1000, 2000, 5000, 10000]; // after the first, second, … failed read
const FINAL = new Set(['succeeded', 'failed', 'cancelled', 'quarantined']);

const readTurn = turns(READS_AT_ONCE);

export const final = (file) => file.jobs.every((job) => FINAL.has(job.state));

const withJob = (file, job) => ({
  ...file,
  jobs: file.jobs.some(({ id }) => id === job.id) ? file.jobs.map((old) => (old.id === job.id ? { ...old, ...job } : old)) : [...file.jobs, job],
});

// Tells `show(file)` of each new state and `unreachable()` when the server does not answer. Ends when all is final or `stop` was aborted;
// throws any other Problem.
export async function follow(file, show, unreachable, stop) {
  let shown = file;
  let behind = true; // it has to be read: something may have been missed
  let reading = null;
  let wake = () => {};
  let failures = 0;
  const see = (next) => show((shown = next));
  const stir = () => {
    behind = true;
    reading?.abort();
    wake();
  };
  const told = (name, job) => {
    if (name === 'file.deleted') return stir();
    if (name !== 'job.progress') behind ||= reading !== null; // what is being read may be older
    else if (!shown.jobs.some(({ id, state }) => id === job.id && !FINAL.has(state))) return undefined;
    see(withJob(shown, job));
    return wake();
  };
  const pause = (ms) => new Promise((resolve) => {
    wake = resolve;
    if (ms) setTimeout(resolve, ms);
  });
  const read = async (wait) => {
    reading = new AbortController();
    behind = false;
    try {
      see(await readTurn(() => getFile(file.id, wait, reading.signal)));
      failures = 0;
    } catch (problem) {
      if (reading.signal.aborted) return;
      if (!(problem instanceof Problem) || problem.code !== 'network') throw problem;
      behind = true;
      unreachable();
      await pause(PAUSE_MS[Math.min(failures++, PAUSE_MS.length - 1)]);
    } finally {
      reading = null;
    }
  };
  const listener = { file: file.id, told, lost: stir };
  listen(listener);
  stop.addEventListener('abort', stir);
  try {
    while (!stop.aborted && !final(shown)) {
      if (!streaming()) await read(WAIT_S);
      else if (behind) await read(0);
      else await pause(0);
    }
  } finally {
    leave(listener);
  }
}
