// One stream of events for the whole page (GET /v1/events), open while somebody follows a file. When a connection is lost the browser goes on by
// itself from its place (Last-Event-ID); a stream that was refused is asked for again later.
//
// A listener is {file, told, lost}: told(name, data) of what becomes of its file, lost() whenever something may have been missed: a stream has begun,
// anew or at its place, or has ended. Who reads the file after lost() while streaming() holds misses nothing, so `reset` and `dropped`, which the
// server sends first and last, say nothing new here.
const OPENED_MS = 1000; // what ends at once needs no stream
const AGAIN_MS = 15000; // after a refusal: too many readers, or something between that knows no streams
const TOLD = ['job.succeeded', 'job.failed', 'job.cancelled', 'job.quarantined', 'job.progress', 'file.deleted'];

const listeners = new Set();
let source = null;
let only = ''; // the one file it tells of; a busy server has much to tell of others
let live = false;
let timer = 0;

export const streaming = () => live;

function lose() {
  for (const listener of [...listeners]) listener.lost();
}

function tell({ type, data }) {
  const told = JSON.parse(data);
  const file = told.file ?? told.id;
  for (const listener of [...listeners]) if (listener.file === file) listener.told(type, told);
}

function shut() {
  clearTimeout(timer);
  source?.close();
  source = null;
  live = false;
  timer = 0;
}

function broken() {
  const refused = source.readyState === EventSource.CLOSED;
  live = false;
  if (refused) openIn(AGAIN_MS);
  lose();
}

function open() {
  const files = new Set([...listeners].map((listener) => listener.file));
  only = files.size === 1 ? [...files][0] : '';
  source = new EventSource(only ? `/v1/events?file=${only}` : '/v1/events');
  source.onopen = () => {
    live = true;
    lose();
  };
  source.onerror = broken;
  for (const name of TOLD) source.addEventListener(name, tell);
}

function openIn(ms) {
  shut();
  timer = setTimeout(open, ms);
}

export function listen(listener) {
  listeners.add(listener);
  if (source ? only && listener.file !== only : !timer) openIn(source ? 0 : OPENED_MS);
}

export function leave(listener) {
  listeners.delete(listener);
  if (!listeners.size) shut();
}
