// The page at / as people use it, with and without script, in Chromium against the real program.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { axeFindings, cardSkeleton, openPage, startBrowser, startServer } from './harness.mjs';

const UNKNOWN = '01890a5d-ac96-774b-bcce-b302099a8057';
const hash = (algo, bytes) => createHash(algo).update(bytes).digest('hex');

let server;
let browser;
before(async () => {
  server = await startServer('--pipelines', JSON.stringify({ small: ['resize;width=9;format=png', 'gzip;after=resize'] }));
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// Opens the page, does the thing, and holds what no page may do against it.
async function onPage(path, options, use) {
  const { context, page, trouble } = await openPage(browser, server.url, path, options);
  page.setDefaultTimeout(20000);
  try {
    await use(page, context);
    assert.deepEqual(trouble, []);
  } finally {
    await context.close();
  }
}

async function store(name, bytes, query = '') {
  const response = await fetch(`${server.url}/v1/files?name=${encodeURIComponent(name)}${query}`,
    { method: 'POST', body: bytes, headers: { 'Content-Type': 'application/octet-stream' } });
  assert.equal(response.status, 201);
  return response.json();
}

async function get(path) {
  const response = await fetch(server.url + path);
  assert.equal(response.status, 200, path);
  return response.json();
}

const blob = (name, bytes) => ({ name, mimeType: 'application/octet-stream', buffer: bytes });

async function lookUp(page, text) {
  await page.fill('#id', text);
  await page.click('#lookup button');
}

test('a file is sent and its id, number, size, type, SHA-256 and MD5 are shown', () => onPage('/', {}, async (page) => {
  const bytes = randomBytes(123456);
  await page.setInputFiles('#file', blob('one.bin', bytes));
  await page.click('#send');
  const card = page.locator('[data-file][data-final=true]');
  await card.waitFor();
  const id = await card.getAttribute('data-file');
  const file = await get(`/v1/files/${id}`);
  const text = await card.innerText();
  for (const part of ['one.bin', id, String(file.number), '123,456 bytes', file.type, hash('sha256', bytes), hash('md5', bytes), 'succeeded']) {
    assert.ok(text.includes(part), `${part} is not in ${text}`);
  }
  assert.equal(await page.locator('#say').innerText(), 'one.bin: all jobs have ended');
}));

test('several files go with the ops that were chosen', () => onPage('/', {}, async (page) => {
  const files = [blob('a.txt', Buffer.from('a')), blob('b.txt', Buffer.from('b')), blob('c.txt', Buffer.alloc(0)), blob('d.txt', Buffer.from('d'))];
  await page.uncheck('input[value=md5]');
  await page.check('input[value=sha512]');
  await page.check('input[value=sha1]');
  await page.setInputFiles('#file', files);
  await page.click('#send');
  await page.waitForFunction(() => document.querySelectorAll('[data-final=true]').length === 4);
  for (const file of files) {
    const card = page.locator('.card', { has: page.locator('h3', { hasText: file.name }) });
    const text = await card.innerText();
    assert.ok(text.includes(hash('sha512', file.buffer)) && text.includes(hash('sha1', file.buffer)), text);
    assert.ok(!text.includes(hash('md5', file.buffer)), text);
  }
}));

// A PNG of one colour, by hand (W3C PNG, third edition).
function png(width, height) {
  const crcs = Array.from({ length: 256 }, (_, n) => Array.from({ length: 8 }).reduce((c) => (c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1), n));
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const crc = body.reduce((c, byte) => crcs[(c ^ byte) & 255] ^ (c >>> 8), 0xffffffff);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE((crc ^ 0xffffffff) >>> 0, 4);
    return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
  };
  const head = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0]);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  const rows = deflateSync(Buffer.alloc(height * (1 + width * 3)));
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head), chunk('IDAT', rows), chunk('IEND', Buffer.alloc(0))]);
}

test('an op gets the parameters that were filled in, and its image is shown', () => onPage('/', {}, async (page) => {
  await page.uncheck('input[value=md5]');
  await page.check('input[value=resize]');
  await page.setInputFiles('#file', blob('wide.png', png(120, 60)));
  await page.click('#send'); // width or height is needed: the browser holds the form
  assert.equal(await page.locator('#resize-width:invalid').count(), 1);
  assert.equal(await page.locator('[data-file]').count(), 0);
  await page.fill('#resize-width', '40');
  assert.equal(await page.locator('#resize-height:invalid').count(), 0);
  await page.selectOption('#resize-format', 'png');
  await page.click('#send');
  const card = page.locator('[data-file][data-final=true]');
  await card.waitFor();
  const job = (await get(`/v1/files/${await card.getAttribute('data-file')}`)).jobs[0];
  assert.equal(job.params.width, 40);
  assert.equal(job.params.format, 'png');
  const image = card.locator('.outputs img');
  await image.scrollIntoViewIfNeeded();
  await page.waitForFunction(() => document.querySelector('.outputs img').naturalWidth === 40);
  assert.ok((await card.locator('.outputs').innerText()).includes(job.outputs[0].name));
  assert.equal(await card.locator('.outputs li > a').last().getAttribute('href'), job.outputs[0].href);
}));

test('an output that no browser draws is a link with type and size', () => onPage('/', {}, async (page) => {
  const file = await store('notes.txt', 'to be packed', '&ops=gzip&wait=20');
  await lookUp(page, file.id);
  const outputs = page.locator('[data-final=true] .outputs');
  await outputs.waitFor();
  assert.match(await outputs.innerText(), /notes\.txt\.gz\s*application\/gzip, \d+ bytes/);
  assert.equal(await outputs.locator('img').count(), 0);
}));

test('a job that failed shows its code and why', () => onPage('/', {}, async (page) => {
  const file = await store('no-image.txt', 'no image', '&ops=resize;width=5&wait=20');
  await lookUp(page, file.id);
  const text = await page.locator('[data-final=true]').innerText();
  assert.ok(text.includes('unsupported_format') && text.includes(file.jobs[0].error.detail), text);
}));

test('a pipeline of the configuration is offered and used', () => onPage('/', {}, async (page) => {
  await page.selectOption('#pipeline', 'small');
  assert.ok((await page.locator('#ops').innerText()).includes('gzip;after=resize'));
  assert.equal(await page.locator('#ops input[type=checkbox]').count(), 0);
  await page.setInputFiles('#file', blob('piped.png', png(30, 30)));
  await page.click('#send');
  const card = page.locator('[data-file][data-final=true]');
  await card.waitFor();
  assert.deepEqual((await get(`/v1/files/${await card.getAttribute('data-file')}`)).jobs.map((j) => [j.op, j.state]), [['resize', 'succeeded'], ['gzip', 'succeeded']]);
}));

test('with no op chosen no job is queued', () => onPage('/', {}, async (page) => {
  await page.uncheck('input[value=md5]');
  await page.setInputFiles('#file', blob('still.bin', Buffer.from('still')));
  await page.click('#send');
  const id = await page.locator('[data-file]').getAttribute('data-file');
  assert.deepEqual((await get(`/v1/files/${id}`)).jobs, []);
  assert.ok((await page.locator('[data-final=true]').innerText()).includes('No jobs were asked for.'));
  assert.equal(await page.locator('.jobs').isVisible(), false);
}));

test('files can be dropped on the page', () => onPage('/', {}, async (page) => {
  const transfer = await page.evaluateHandle(() => {
    const t = new DataTransfer();
    t.items.add(new File(['dropped bytes'], 'dropped.txt'));
    return t;
  });
  await page.dispatchEvent('#drop', 'dragenter', { dataTransfer: transfer });
  assert.ok(await page.locator('#drop.over').count());
  await page.dispatchEvent('#drop', 'drop', { dataTransfer: transfer });
  const text = await page.locator('[data-final=true]').innerText();
  assert.ok(text.includes('dropped.txt') && text.includes(hash('md5', 'dropped bytes')), text);
}));

test('a slow upload shows how far it is and can be cancelled, and then nothing is kept', () => onPage('/', {}, async (page, context) => {
  const client = await context.newCDPSession(page);
  await client.send('Network.enable');
  await client.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 2 << 20 });
  await page.setInputFiles('#file', blob('slow.bin', randomBytes(24 << 20)));
  await page.click('#send');
  await page.waitForFunction(() => document.querySelector('progress')?.value > 2e6);
  assert.match(await page.locator('.moving').innerText(), /MB of 25\.2 MB sent, .*B a second/);
  await page.click('.moving button');
  assert.ok((await page.locator('.problem').innerText()).includes('cancelled'));
  assert.deepEqual((await get('/v1/files?name=slow.bin')).files, []);
}));

test('an upload that could not reach the server is repeated by hand and stored once', () => onPage('/', {}, async (page, context) => {
  let cut = 0;
  await context.route('**/v1/files?*', async (route) => {
    if (cut++) return route.continue();
    await route.fetch(); // the server stores it, the answer is lost
    return route.abort();
  });
  await page.setInputFiles('#file', blob('twice.bin', Buffer.from('sent twice, stored once')));
  await page.click('#send');
  await page.locator('.problem[data-code=network]').waitFor();
  await page.click('.problem button:not(.quiet)');
  await page.locator('[data-file]').waitFor();
  assert.equal(cut, 2);
  assert.equal((await get('/v1/files?name=twice.bin')).files.length, 1);
}));

test('a file is followed until its last job has ended', () => onPage('/', {}, async (page) => {
  const file = await store('later.txt', 'later', '&ops=md5');
  const response = await fetch(`${server.url}/v1/files/${file.id}/jobs`, { method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ op: 'sha1', run_at: new Date(Date.now() + 3000).toISOString() }) });
  assert.equal(response.status, 202);
  await lookUp(page, file.id);
  await page.locator('[data-final=false] .state.queued').waitFor();
  const text = await page.locator('[data-final=true]').innerText();
  assert.ok(text.includes(hash('sha1', 'later')) && !text.includes('No jobs'), text);
}));

test('an id is looked up and stands in the address', () => onPage('/', {}, async (page) => {
  const file = await store('found.txt', 'find me');
  await lookUp(page, `  ${file.id.toUpperCase()} `);
  assert.ok((await page.locator('[data-file]').innerText()).includes(hash('md5', 'find me')));
  assert.equal(new URL(page.url()).search, `?id=${file.id}`);
  await page.reload();
  assert.ok((await page.locator('#live [data-file]').innerText()).includes(hash('md5', 'find me')));
}));

test('a row number is looked up too', () => onPage('/', {}, async (page) => {
  const file = await store('numbered.txt', 'number');
  await lookUp(page, String(file.number));
  await page.waitForURL(/\?id=\d+$/);
  assert.equal(await page.locator('#live [data-file]').getAttribute('data-file'), file.id);
}));

for (const [what, id, code, words] of [
  ['never issued', async () => UNKNOWN, 'file_not_found', 'There is no file with this id'],
  ['no id', async () => 'what was it', 'bad_id', 'This is not an id'],
  ['deleted', async () => {
    const file = await store('gone.txt', 'gone');
    assert.equal((await fetch(`${server.url}/v1/files/${file.id}`, { method: 'DELETE' })).status, 204);
    return file.id;
  }, 'file_gone', 'This file was deleted or has expired'],
]) {
  test(`an id that is ${what} is explained, with script and without`, async () => {
    const text = await id();
    await onPage('/', {}, async (page) => {
      await lookUp(page, text);
      const problem = page.locator(`.problem[data-code=${code}]`);
      assert.ok((await problem.innerText()).includes(words));
      assert.equal(await problem.getAttribute('role'), 'alert');
      await page.click('.problem .quiet');
      await problem.waitFor({ state: 'detached' });
    });
    await onPage('/', { javaScriptEnabled: false }, async (page) => {
      await lookUp(page, text);
      await page.locator(`.problem[data-code=${code}]`).waitFor();
    });
  });
}

test('a name full of markup is shown as text', () => onPage('/', {}, async (page) => {
  const name = '<img src=x onerror=alert(1)>&quot;';
  const file = await store(name, 'markup');
  await lookUp(page, file.id);
  assert.equal(await page.locator('[data-file] h3').innerText(), name);
  assert.equal(await page.locator('[data-file] img').count(), 0);
}));

test('without script a file is sent, answered for and looked up again', () => onPage('/', { javaScriptEnabled: false }, async (page) => {
  await page.setInputFiles('#file', blob('plain.txt', Buffer.from('no script')));
  await page.click('#send');
  const card = page.locator('[data-file]');
  const text = await card.innerText();
  const id = await card.getAttribute('data-file');
  assert.ok(text.includes('plain.txt') && text.includes(hash('md5', 'no script')) && text.includes(hash('sha256', 'no script')), text);
  await lookUp(page, id);
  assert.ok((await page.locator('[data-file]').innerText()).includes(hash('md5', 'no script')));
}));

test('the card of the server and the card of the script are the same', async () => {
  const file = await store('same.png', png(20, 10), '&ops=md5,resize;width=5;format=png,gzip;after=resize,crc32c;after=gzip&wait=20');
  const seen = [];
  for (const javaScriptEnabled of [false, true]) {
    await onPage(`/?id=${file.id}`, { javaScriptEnabled }, async (page) => {
      if (javaScriptEnabled) await page.locator('#live [data-file]').waitFor();
      seen.push(await cardSkeleton(page));
    });
  }
  assert.ok(seen[0].length > 20, 'the card has its parts');
  assert.deepEqual(seen[0], seen[1]);
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing on the page, ${colorScheme}`, () => onPage('/', { colorScheme, reducedMotion: 'reduce' }, async (page) => {
    await page.check('input[value=resize]');
    await page.fill('#resize-width', '9');
    assert.deepEqual(await axeFindings(page), []);
    await page.setInputFiles('#file', blob('axe.png', png(20, 20)));
    await page.click('#send');
    await page.locator('[data-final=true]').waitFor();
    await lookUp(page, UNKNOWN);
    await page.locator('.problem').waitFor();
    assert.deepEqual(await axeFindings(page), []);
  }));
}

test('nothing is wider than a narrow screen', () => onPage('/', { viewport: { width: 320, height: 640 } }, async (page) => {
  const file = await store(`${'long-name-'.repeat(20)}.txt`, 'narrow', '&ops=md5,sha512');
  await lookUp(page, file.id);
  await page.locator('[data-final=true]').waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
}));

test('everything is reached by the keyboard', () => onPage('/', {}, async (page) => {
  await page.locator('.op').first().waitFor();
  const reached = [];
  for (let i = 0; i < 20; i++) {
    await page.keyboard.press('Tab');
    reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.value || document.activeElement.tagName));
  }
  assert.deepEqual(['skip', 'brand', 'file', 'md5', 'send', 'id'].filter((name) => !reached.includes(name)), []);
}));
