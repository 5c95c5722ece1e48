// The operators' pages: signing in by cookie, files with previews, jobs, the queue, the server, accounts, keys; and who sees which.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFindings, openPage, PERSON, startBrowser, startPeopled } from './harness.mjs';

const COMMANDS = { waits: { argv: ['/bin/sleep', '1000'] } };
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

let server;
let browser;
let token;
before(async () => {
  server = await startPeopled('--commands', JSON.stringify(COMMANDS));
  browser = await startBrowser();
  ({ token } = await call('POST', '/v1/sessions', { email: PERSON.email, password: PERSON.password }));
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function call(method, path, body, type = 'application/json') {
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...(body !== undefined && { 'Content-Type': type }) };
  const response = await fetch(server.url + path, { method, headers, body: type === 'application/json' && body !== undefined ? JSON.stringify(body) : body });
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
  return response.status === 204 ? null : response.json();
}
const store = (name, body, ops = '') => call('POST', `/v1/files?name=${name}&ops=${ops}`, body, 'application/octet-stream');

async function signIn(page, { email, password } = PERSON) {
  await page.locator('#sign-in').waitFor();
  await page.fill('#field-email', email);
  await page.fill('#field-password', password);
  await page.keyboard.press('Enter');
}

// A page where somebody has signed in, at a view.
async function operating(view, use, person = PERSON) {
  const { context, page, trouble } = await openPage(browser, server.url, `/admin#/${view}`, { reducedMotion: 'reduce' });
  page.setDefaultTimeout(20000);
  try {
    await signIn(page, person);
    await page.locator('#nav nav').waitFor();
    await use(page, context);
    assert.deepEqual(trouble, []);
  } finally {
    await context.close();
  }
}

async function noFindings(page) {
  assert.deepEqual(await axeFindings(page), []);
}

test('who is not signed in sees the form alone, and a wrong password is told', async () => {
  const { context, page, trouble } = await openPage(browser, server.url, '/admin', { reducedMotion: 'reduce' });
  await page.locator('#sign-in').waitFor();
  await noFindings(page);
  assert.equal(await page.locator('#nav nav').count(), 0);
  await signIn(page, { email: PERSON.email, password: 'not the right one' });
  await page.locator('[role=alert][data-code=bad_credentials]').waitFor();
  await noFindings(page);
  assert.deepEqual(trouble, []);
  await context.close();
});

test('the session is a cookie that no script sees, lasts over a reload and ends with signing out', () => operating('files', async (page, context) => {
  const [cookie] = await context.cookies();
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.secure, cookie.sameSite], ['__Host-filemill', true, true, 'Strict']);
  assert.equal(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })), '{}');
  await page.reload();
  await page.locator('#nav nav').waitFor();
  await page.click('.who button');
  await page.locator('#sign-in').waitFor();
  await page.waitForFunction(() => document.activeElement.id === 'sign-in-title'); // once it is drawn
  assert.deepEqual(await context.cookies(), []);
}));

test('a session that ends elsewhere leads back to the form', () => operating('files', async (page, context) => {
  await context.clearCookies();
  await page.click('#nav a[href="#/jobs"]');
  await page.locator('#sign-in').waitFor();
}));

test('files are looked for by name, digest and id, and images are previewed', async () => {
  const file = await store('picture.png', PNG);
  await store('words.txt', Buffer.from('words'));
  await operating('files', async (page) => {
    await page.fill('#field-search', 'picture');
    await page.keyboard.press('Enter');
    const row = page.locator(`tr[data-file="${file.id}"]`);
    await page.locator('tbody tr:only-child').waitFor();
    const image = row.locator('img');
    assert.equal(await image.getAttribute('alt'), 'Preview of picture.png');
    await page.waitForFunction((img) => img.complete && img.naturalWidth === 1, await image.elementHandle());
    await noFindings(page);
    await page.fill('#field-search', file.sha256);
    await page.keyboard.press('Enter');
    await page.locator('tbody tr:only-child').waitFor();
    await page.fill('#field-search', file.id);
    await page.keyboard.press('Enter');
    await page.locator('.card .facts').waitFor();
    assert.equal(await page.locator('h1').innerText(), 'picture.png');
    await noFindings(page);
  });
});

test('a job is cancelled and tried again from the list', async () => {
  const job = (await store('held.txt', Buffer.from('held'), 'waits')).jobs[0];
  await operating('jobs', async (page) => {
    const row = page.locator(`tr[data-job="${job.id}"]`);
    await row.waitFor();
    await noFindings(page);
    await row.getByRole('button', { name: `Cancel waits, job ${job.id}` }).click();
    await page.waitForFunction(() => document.getElementById('say').textContent.startsWith('waits is cancelled'));
    while ((await call('GET', `/v1/jobs/${job.id}`)).state !== 'cancelled');
    await page.selectOption('#field-state', 'cancelled');
    await page.getByRole('button', { name: 'Search' }).click();
    await row.locator('.state.cancelled').waitFor();
    await noFindings(page);
    await row.getByRole('button', { name: `Try again: waits, job ${job.id}` }).click();
    await row.locator('.state.queued, .state.running').waitFor();
    await row.getByRole('button', { name: /^Cancel waits/ }).click();
    await page.waitForFunction(() => document.getElementById('say').textContent.startsWith('waits is cancelled'));
  });
});

test('all waiting jobs of an op are cancelled after a question, and not when it is answered with no', async () => {
  const file = await store('many.txt', Buffer.from('many'));
  await call('POST', '/v1/jobs', { jobs: Array.from({ length: 7 }, (_, n) => ({ file: file.id, op: 'gzip', params: { level: n + 1 }, run_at: '2099-01-01T00:00:00Z' })) });
  await operating('queue', async (page) => {
    const all = page.getByRole('button', { name: 'Cancel all queued jobs of gzip' });
    await all.click();
    await page.locator('dialog[open]').waitFor();
    await noFindings(page);
    await page.keyboard.press('Escape');
    assert.equal((await call('GET', '/v1/admin/jobs?op=gzip&state=queued')).jobs.length, 7);
    await all.click();
    await page.locator('dialog[open] .sure').click();
    await page.waitForFunction(() => document.getElementById('say').textContent === '7 jobs were cancelled, 0 could not be');
    assert.equal((await call('GET', '/v1/admin/jobs?op=gzip&state=queued')).jobs.length, 0);
  });
});

test('the server tells of storage, workers and what was done', () => operating('server', async (page) => {
  await page.locator('#damaged-count').waitFor();
  await page.locator('tr[data-act="session.begun"]').first().waitFor();
  await page.fill('#field-act', 'server.started');
  await page.keyboard.press('Enter');
  await page.locator('tr[data-act="session.begun"]').first().waitFor({ state: 'detached' });
  await page.locator('tr[data-act="server.started"]').first().waitFor();
  await noFindings(page);
}));

test('a key is made, its secrets are shown once, it works, and is revoked', () => operating('keys', async (page) => {
  await page.fill('#field-name', 'for the night');
  await page.check('input[value="files:read"]');
  await page.getByRole('button', { name: 'Make a key' }).click();
  await page.locator('#secret').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'secrets-title');
  await noFindings(page);
  const secret = await page.locator('#secret').innerText();
  const status = async () => (await fetch(`${server.url}/v1/files`, { headers: { Authorization: `Bearer ${secret}` } })).status;
  assert.equal(await status(), 200);
  await page.getByRole('button', { name: 'I have kept them' }).click();
  await page.locator('#secret').waitFor({ state: 'detached' });
  await page.reload();
  const row = page.locator('tr[data-key]', { hasText: 'for the night' });
  await row.waitFor();
  assert.ok(!(await page.content()).includes(secret));
  await row.getByRole('button', { name: 'Revoke the key for the night' }).click();
  await page.locator('dialog[open] .sure').click();
  await row.getByText('revoked').waitFor();
  assert.equal(await status(), 401);
}));

test('an account is added, made an operator and switched off; it sees what its role may', async () => {
  const ann = { email: 'ann@example.org', password: 'a staple in a battery' };
  const views = async (page) => page.locator('#nav nav a').allInnerTexts();
  await operating('users', async (page) => {
    assert.deepEqual(await views(page), ['Files', 'Jobs', 'Queue', 'Server', 'Users', 'Keys']);
    await page.fill('#field-email', ann.email);
    await page.fill('#field-password', ann.password);
    await page.getByRole('button', { name: 'Add an account' }).click();
    await page.locator('tr[data-user]', { hasText: ann.email }).waitFor();
    await noFindings(page);
  });
  await operating('files', async (page) => assert.deepEqual(await views(page), ['Keys']), ann);
  await operating('users', async (page) => {
    await page.getByLabel(`Role of ${ann.email}`).selectOption('operator');
    await page.waitForFunction(() => document.getElementById('say').textContent === 'ann@example.org was changed');
  });
  await operating('files', async (page) => assert.deepEqual(await views(page), ['Files', 'Jobs', 'Queue', 'Server', 'Keys']), ann);
  await operating('users', async (page) => {
    await page.getByRole('button', { name: `Switch off: ${ann.email}` }).click();
    await page.locator('dialog[open] .sure').click();
    await page.getByRole('button', { name: `Switch on: ${ann.email}` }).waitFor();
  });
  const { context, page } = await openPage(browser, server.url, '/admin');
  await signIn(page, ann);
  await page.locator('[role=alert][data-code=bad_credentials]').waitFor();
  await context.close();
});

test('everything is reached by the keyboard, and a view begins at its heading', () => operating('files', async (page) => {
  const reached = new Set();
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute('href') || document.activeElement.className));
  }
  assert.deepEqual(['#/files', '#/jobs', '#/keys', 'field-search', 'field-owner', 'field-state', 'primary'].filter((name) => !reached.has(name)), []);
  await page.focus('#nav a[href="#/queue"]');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.tagName === 'H1' && document.activeElement.textContent === 'Queue');
}));

test('a narrow screen does not scroll sideways', () => operating('jobs', async (page) => {
  await page.setViewportSize({ width: 320, height: 640 });
  await page.locator('form.filters').waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
}));
