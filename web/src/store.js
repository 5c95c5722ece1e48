// What the page shows: one entry an upload or look-up, newest first, and what is done to them.
//
// An entry is {key, name, total, sent, rate, phase, file, problem, again, stop}. `phase` goes waiting → sending → keeping → stored for an
// upload, loading → stored for a look-up; failed ends both. A stored file is followed until its jobs are final, or its entry is dropped.
import { getFile, postFile, Problem } from './api.js';
import { follow } from './follow.js';
import { percent } from './format.js';
import { t } from './text.js';
import { turns } from './turns.js';

export const UPLOADS_AT_ONCE = 3;
export const FILES_AT_A_TIME = 200;
const ENTRIES_KEPT = 400;

const uploadTurn = turns(UPLOADS_AT_ONCE);

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

function update(entry, values) {
  Object.assign(entry, values);
  changed();
}

function add(values) {
  const entry = { key: ++keys, name: '', total: 0, sent: 0, rate: 0, file: null, problem: null, again: null, stop: null, dropped: new AbortController(), ...values };
  let n = 0;
  keep((e) => e === entry || n++ < ENTRIES_KEPT - 1, [entry, ...entries]);
  return entry;
}

function keep(wanted, of = entries) {
  entries = of.filter(wanted);
  for (const entry of of) if (!entries.includes(entry)) entry.dropped.abort();
  changed();
}

export function dismiss(entry) {
  keep((e) => e !== entry);
}

function fail(entry, problem, again) {
  update(entry, { phase: 'failed', problem, again, stop: null });
}

export function showProblem(problem) {
  fail(add({ phase: 'failed' }), problem, null);
}

async function watch(entry) {
  const { signal } = entry.dropped;
  const show = (file) => update(entry, { file, notice: null });
  try {
    await follow(entry.file, show, () => update(entry, { notice: t('problem.network_watch') }), signal);
    if (!signal.aborted && entry.file.jobs.length) say(t('say.final', { name: entry.file.name }));
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
  keep((e) => e.file?.id !== id && !(e.phase === 'failed' && e.name === id));
  const entry = add({ phase: 'loading', name: id });
  try {
    update(entry, { file: await getFile(id, 0), phase: 'stored' });
  } catch (problem) {
    fail(entry, problem, problem.code === 'network' ? () => { dismiss(entry); lookUp(id); } : null);
    return;
  }
  await watch(entry);
}
