// How the page follows jobs: by the stream of events, over lost connections, and without the stream; and what it shows of their progress.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFindings, cardSkeleton, openPage, startBrowser, startServer } from './harness.mjs';
import { layLine } from './line.mjs';

const COMMANDS = {
  begins: { argv: ['/bin/sh', '-c', 'echo 0.42 >&3; sleep 1000'], progress: true },
  mute: { argv: ['/bin/sleep', '1000'] },
};

let server;
let browser;
before(async () => {
  server = await startServer('--commands', JSON.stringify(COMMANDS), '--http-events-heartbeat', '500ms');
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function call(method, path, body, type = 'application/json') {
  const response = await fetch(server.url + path, { method, body, headers: body === undefined ? {} : { 'Content-Type': type } });
  assert.ok(response.ok, `${method} ${path}: ${response.status}`);
  return response.json();
}
const store = (ops) => call('POST', `/v1/files?name=followed.txt&ops=${encodeURIComponent(ops)}`, 'followed', 'application/octet-stream');
const cancel = (job) => call('POST', `/v1/jobs/${job.id}/cancel`);
const untilRuns = async (job) => { while ((await call('GET', `/v1/jobs/${job.id}`)).progress === null); };

// The page of a file that is not final, over a line of its own.
async function following(ops, options, use) {
  const file = await store(ops);
  const line = await layLine(server.url);
  const { context, page, trouble } = await openPage(browser, line.url, `/?id=${file.id}`, options);
  page.setDefaultTimeout(20000);
  const reads = () => line.heads.filter((head) => head.startsWith(`GET /v1/files/${file.id}?`)).length;
  try {
    await use({ file, jobs: file.jobs, line, page, context, reads });
    assert.deepEqual(trouble, []);
  } finally {
    await context.close();
    await line.close();
    await Promise.all(file.jobs.map((job) => cancel(job).catch(() => {}))); // those that have not ended
  }
}

const ofJob = (job, what) => `#live [data-job="${job.id}"] ${what}`;
const streamBegun = (page) => page.waitForResponse((response) => response.url().includes('/v1/events') && response.status() === 200);

test('a job that tells its progress shows it, and its end at once', () => following('begins,mute', {}, async ({ jobs, page, line }) => {
  await streamBegun(page);
  await page.locator(ofJob(jobs[0], 'progress')).waitFor();
  assert.equal(await page.locator(ofJob(jobs[0], 'progress')).getAttribute('value'), '0.42');
  assert.ok((await page.locator(ofJob(jobs[0], '.share')).innerText()).includes('42%'));
  await page.locator(ofJob(jobs[1], '.state.running')).waitFor();
  assert.equal(await page.locator(ofJob(jobs[1], 'progress')).count(), 0);
  await cancel(jobs[0]);
  await page.locator(ofJob(jobs[0], '.state.cancelled')).waitFor(); // the other one still runs: no waiting read would say so yet
  assert.equal(await page.locator(ofJob(jobs[0], 'progress')).count(), 0);
  await cancel(jobs[1]);
  await page.locator('#live [data-final=true]').waitFor();
  assert.equal(line.heads.filter((head) => head.includes('wait=10')).length, 1, 'once the stream has begun nobody waits in a read');
  assert.equal(await page.locator('#say').innerText(), 'followed.txt: all jobs have ended');
}));

test('the stream is of the one file, and ends when nothing is followed', () => following('mute', {}, async ({ file, jobs, page, line }) => {
  await streamBegun(page);
  assert.deepEqual(line.streams().map((head) => head.split(' ')[1]), [`/v1/events?file=${file.id}`]);
  const metric = async () => /filemill_events_readers (\d+)/.exec(await (await fetch(`${server.url}/metrics`)).text())[1];
  assert.equal(await metric(), '1');
  await cancel(jobs[0]);
  await page.locator('#live [data-final=true]').waitFor();
  while (await metric() !== '0');
}));

test('several files share one stream', () => following('mute', {}, async ({ jobs, page, line }) => {
  await streamBegun(page);
  const other = await store('mute');
  const begun = page.waitForResponse((response) => response.url() === `${line.url}/v1/events`);
  await page.fill('#id', other.id);
  await page.click('#lookup button');
  await begun;
  for (const job of [other.jobs[0], jobs[0]]) {
    await cancel(job);
    await page.locator(ofJob(job, '.state.cancelled')).waitFor();
  }
  assert.equal(line.streams().length, 2);
}));

test('a stream that was cut goes on from its place and misses nothing', () => following('mute,begins', {}, async ({ jobs, page, line }) => {
  await streamBegun(page);
  await untilRuns(jobs[1]);
  line.dead = true;
  line.cut();
  await page.locator('#live .notice').waitFor(); // it says that nobody answers
  await cancel(jobs[0]);
  line.dead = false;
  await page.locator(ofJob(jobs[0], '.state.cancelled')).waitFor();
  await page.locator('#live .notice').waitFor({ state: 'detached' });
  while (line.streams().length < 2) await page.waitForTimeout(50); // the browser comes back after what `retry` says
  assert.match(line.streams().at(-1), /^Last-Event-ID: \d+-\d+\r$/mi);
  await cancel(jobs[1]);
  await page.locator(ofJob(jobs[1], '.state.cancelled')).waitFor();
}));

test('a place that the server knows no more has the file read again', () => following('mute,begins', {}, async ({ jobs, page, line, reads }) => {
  await streamBegun(page);
  await page.locator(ofJob(jobs[1], 'progress')).waitFor();
  line.rewrite = (text) => text.replace(/(Last-Event-ID: )\d+/i, '$11'); // as after a restart
  const before = reads();
  line.cut();
  while (line.streams().length < 2) await page.waitForTimeout(50);
  while (reads() === before) await page.waitForTimeout(50);
  await cancel(jobs[0]);
  await page.locator(ofJob(jobs[0], '.state.cancelled')).waitFor();
}));

test('a deleted file is told of', () => following('mute', {}, async ({ file, page }) => {
  await streamBegun(page);
  assert.equal((await fetch(`${server.url}/v1/files/${file.id}`, { method: 'DELETE' })).status, 204);
  await page.locator('.problem[data-code=file_gone]').waitFor();
}));

for (const [what, answer] of [
  ['is refused', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"code":"overloaded"}' })],
  ['never comes', () => {}], // held back by something between
]) {
  test(`when the stream ${what} the file is asked for`, async () => {
    const file = await store('mute');
    const { context, page } = await openPage(browser, server.url, '/');
    await context.route('**/v1/events*', answer);
    const asked = [`/v1/files/${file.id}?wait=10`, '/v1/events'].map((part) => page.waitForRequest((request) => request.url().includes(part)));
    await page.fill('#id', file.id);
    await page.click('#lookup button');
    await Promise.all(asked);
    await cancel(file.jobs[0]);
    await page.locator('#live [data-final=true] .state.cancelled').waitFor();
    await context.close();
  });
}

test('what ends at once opens no stream', async () => {
  const { context, page } = await openPage(browser, server.url, '/');
  const streams = [];
  page.on('request', (request) => { if (request.url().includes('/v1/events')) streams.push(request.url()); });
  await page.uncheck('input[value=md5]');
  await page.check('input[value=gzip]');
  await page.setInputFiles('#file', { name: 'quick.txt', mimeType: 'text/plain', buffer: Buffer.from('quick') });
  await page.click('#send');
  await page.locator('[data-final=true]').waitFor();
  await page.waitForTimeout(1500); // longer than it takes to open one
  assert.deepEqual(streams, []);
  await context.close();
});

test('the card of a running job is the same with script and without, and axe finds nothing', async () => {
  const file = await store('begins');
  await untilRuns(file.jobs[0]);
  const seen = [];
  for (const javaScriptEnabled of [false, true]) {
    const { context, page, trouble } = await openPage(browser, server.url, `/?id=${file.id}`, { javaScriptEnabled, reducedMotion: 'reduce' });
    await page.locator(`${javaScriptEnabled ? '#live' : '#answer'} progress`).waitFor();
    seen.push([await cardSkeleton(page), await page.locator('.share').innerText()]);
    if (javaScriptEnabled) assert.deepEqual(await axeFindings(page), []);
    assert.deepEqual(trouble, []);
    await context.close();
  }
  await cancel(file.jobs[0]);
  assert.ok(seen[0][0].some((line) => line.includes('value=0.42')), seen[0][0].join('\n'));
  assert.deepEqual(seen[0], seen[1]);
});
