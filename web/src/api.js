// The calls of the native API that the page makes. What goes wrong is thrown as a Problem (RFC 9457).
import { has, t } from './text.js';

export class Problem extends Error {
  constructor(code, title, detail) {
    super(title);
    Object.assign(this, { code, title, detail });
  }
}

// A code that the dictionary knows is told in its words, any other in the server's.
export function problemOf(status, text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = null;
  }
  if (typeof body?.code !== 'string') return new Problem('unreadable', t('problem.unreadable'), t('problem.unreadable_detail', { status }));
  const key = `problem.${body.code}`;
  return new Problem(body.code, has(key) ? t(key) : body.title, has(`${key}_detail`) ? t(`${key}_detail`) : body.detail);
}

export const unreachable = () => new Problem('network', t('problem.network'), t('problem.network_detail'));

async function getJson(url, signal) {
  let response;
  let text;
  try {
    response = await fetch(url, { headers: { Accept: 'application/json' }, cache: 'no-store', signal });
    text = await response.text();
  } catch {
    throw unreachable();
  }
  if (!response.ok) throw problemOf(response.status, text);
  return JSON.parse(text);
}

export const getFile = (id, waitSeconds, signal) => getJson(`/v1/files/${encodeURIComponent(id)}?wait=${waitSeconds}`, signal);
export const getOps = () => getJson('/v1/ops');

// XMLHttpRequest, because fetch tells nothing of how much was sent. `choice` has `ops` or `pipeline`, or neither: the server's default.
export function postFile(file, choice, key, onProgress) {
  const request = new XMLHttpRequest();
  const query = new URLSearchParams({ name: file.name, ...choice });
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => onProgress(event.loaded, event.total);
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(null);
    request.onload = () => {
      if (request.status !== 201) reject(problemOf(request.status, request.responseText));
      else resolve(JSON.parse(request.responseText));
    };
    request.open('POST', `/v1/files?${query}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.setRequestHeader('Idempotency-Key', key);
    request.send(file);
  });
  return { done, abort: () => request.abort() };
}
