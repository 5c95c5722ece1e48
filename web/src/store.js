// What the page shows: one entry an upload or look-up, newest first, and what is done to them.
//
// An entry is {key, name, total, sent, rate, phase, file, problem, again, stop}. `phase` goes waiting → sending → keeping → stored for an
// upload, loading → stored for a look-up; failed ends both. While a stored file has a job that is not final its state is asked for.
import { getFile, postFile, Problem } from './api.js';
import { percent } from './format.js';
import { t } from './text.js';
import { turns } from './turns.js';

export const UPLOADS_AT_ONCE = 3;
const WATCHES_AT_ONCE = 2;
const WAIT_S = 10;
const PAUSE_MS = [1000, 2000, 5000, 10000]; // after the first, second, … failed question
export const FILES_AT_A_TIME = 200;
const ENTRIES_KEPT = 400;
const FINAL = new Set(['succeeded', 'failed', 'cancelled', 'quarantined']);

const uploadTurn = turns(UPLOADS_AT_ONCE);
const watchTurn = turns(WATCHES_AT_ONCE);

let entries = [];
let keys = 0;
let changed = () => {};
let say = () => {};

export function connect(onChange, onSay) {
  changed = onChange;
  say = onSay;
}
export const shown = () => entries;
export const sending = () => entries.some((e) => e.phase === 'waiting' || e.phase === 'sending' || e.phase === 'keeping');
export const final = (file) => file.jobs.every((job) => FINAL.has(job.state));

function update(entry, values) {
  Object.assign(entry, values);
  changed();
}

function add(values) {
  const entry = { key: ++keys, name: '', total: 0, sent: 0, rate: 0, file: null, problem: null, again: null, stop: null, ...values };
  entries = [entry, ...entries].slice(0, ENTRIES_KEPT);
  changed();
  return entry;
}

export function dismiss(entry) {
  entries = entries.filter((e) => e !== entry);
  changed();
}

function fail(entry, problem, again) {
  update(entry, { phase: 'failed', problem, again, stop: null });
}

export function showProblem(problem) {
  fail(add({ phase: 'failed' }), problem, null);
}

// ---- following a file until its jobs are final ----

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const kept = (entry) => entries.includes(entry);

async function ask(entry) {
  try {
    update(entry, { file: await watchTurn(() => getFile(entry.file.id, WAIT_S)), notice: null });
    return 0;
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.code !== 'network') throw problem;
    update(entry, { notice: t('problem.network_watch') });
    return 1;
  }
}

async function watch(entry) {
  let failures = 0;
  try {
    while (kept(entry) && !final(entry.file)) {
      const failed = await ask(entry);
      failures = failed ? failures + 1 : 0;
      if (failed) await pause(PAUSE_MS[Math.min(failures, PAUSE_MS.length) - 1]);
    }
    if (kept(entry) && entry.file.jobs.length) say(t('say.final', { name: entry.file.name }));
  } catch (problem) {
    fail(entry, problem, null);
  }
}

// ---- uploads ----

const newKey = () => (crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join('-'));

// The rate is smoothed over about two seconds; quarters are spoken, no more.
function meter(entry) {
  let lastAt = performance.now();
  let lastSent = 0;
  let quarter = 0;
  return (loaded, total) => {
    const now = performance.now();
    const seconds = (now - lastAt) / 1000;
    if (seconds < 0.1 && loaded < total) return;
    const rate = (loaded - lastSent) / Math.max(seconds, 0.001);
    const weight = entry.rate ? Math.min(1, seconds / 2) : 1;
    const reached = Math.floor((loaded / Math.max(total, 1)) * 4);
    if (reached > quarter && reached < 4) say(t('say.percent', { name: entry.name, percent: percent(reached / 4) }));
    [lastAt, lastSent, quarter] = [now, loaded, reached];
    update(entry, { sent: loaded, rate: entry.rate + (rate - entry.rate) * weight, phase: loaded < total ? 'sending' : 'keeping' });
  };
}

async function transfer(entry, file, choice, key) {
  if (entry.phase !== 'waiting') return; // cancelled before its turn
  const { done, abort } = postFile(file, choice, key, meter(entry));
  update(entry, { phase: 'sending', stop: abort });
  say(t('say.started', { name: entry.name }));
  update(entry, { file: await done, phase: 'stored', stop: null });
  say(t('say.stored', { name: entry.file.name }));
}

async function run(entry, file, choice, key) {
  update(entry, { phase: 'waiting', sent: 0, rate: 0, problem: null, again: null, stop: () => cancelled(entry) });
  try {
    await uploadTurn(() => transfer(entry, file, choice, key));
  } catch (problem) {
    if (problem === null) cancelled(entry);
    else fail(entry, problem, () => run(entry, file, choice, key));
    return;
  }
  if (entry.file) await watch(entry);
}

function cancelled(entry) {
  fail(entry, new Problem('cancelled', entry.name, t('phase.cancelled')), null);
}

export function upload(files, choice) {
  const taken = files.slice(0, FILES_AT_A_TIME);
  const queue = taken.map((file) => ({ file, entry: add({ phase: 'waiting', name: file.name, total: file.size }) }));
  for (const { file, entry } of queue) run(entry, file, choice, newKey());
  if (files.length > taken.length) {
    const n = FILES_AT_A_TIME;
    showProblem(new Problem('too_many', t('upload.too_many', { n }), t('upload.too_many_detail', { n })));
  }
}

// ---- look-ups ----

export async function lookUp(id) {
  entries = entries.filter((e) => e.file?.id !== id && !(e.phase === 'failed' && e.name === id));
  const entry = add({ phase: 'loading', name: id });
  try {
    update(entry, { file: await getFile(id, 0), phase: 'stored' });
  } catch (problem) {
    fail(entry, problem, problem.code === 'network' ? () => { dismiss(entry); lookUp(id); } : null);
    return;
  }
  await watch(entry);
}
