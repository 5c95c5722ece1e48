// Who is signed in, and the calls of the API that only he may make. The session itself is a cookie that no script sees; what a write has to show
// besides comes with the answer that began the session, or told of it.
import { problemOf, unreachable } from '../api.js';

const SESSIONS = '/v1/sessions';
const CURRENT = '/v1/sessions/current';

let token = '';
let lost = () => {};

// What happens when the session turns out to be over.
export const whenLost = (does) => { lost = does; };

export async function call(method, path, body) {
  const headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET') headers['X-CSRF-Token'] = token;
  let response;
  let text;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: 'no-store' });
    text = await response.text();
  } catch {
    throw unreachable();
  }
  if (response.ok) return text ? JSON.parse(text) : null;
  if (response.status === 401 && path !== SESSIONS && path !== CURRENT) lost();
  throw problemOf(response.status, text);
}

function began({ csrf_token: csrf, user }) {
  token = csrf;
  return user;
}

export async function current() {
  try {
    return began(await call('GET', CURRENT));
  } catch (problem) {
    if (problem.code === 'network') throw problem;
    return null;
  }
}

export const signIn = async (email, password) => began(await call('POST', SESSIONS, { email, password, cookie: true }));

export async function signOut() {
  await call('DELETE', CURRENT);
  token = '';
}
