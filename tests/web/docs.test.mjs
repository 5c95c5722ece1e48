// The API page at /docs: drawn from the server's own document, under its policy, asking nobody else.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFindings, openPage, startBrowser, startServer } from './harness.mjs';

const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete'];

let server;
let browser;
before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('every operation of the document is drawn, and nobody else is asked', async () => {
  const { context, page, trouble } = await openPage(browser, server.url, '/docs');
  const { paths, webhooks } = await (await fetch(`${server.url}/openapi.json`)).json();
  const wanted = Object.values({ ...paths, ...webhooks }).flatMap((item) => METHODS.filter((m) => item[m]).map((m) => item[m].operationId));
  await page.locator('.opblock').first().waitFor();
  const drawn = await page.locator('.opblock-summary-operation-id').allInnerTexts();
  assert.deepEqual(drawn.map((s) => s.replace(/\u200b/g, '')).sort(), wanted.sort());
  await page.locator('#operations-Files-getFile .opblock-summary-control').click();
  await page.locator('#operations-Files-getFile .responses-table').waitFor();
  assert.deepEqual(trouble, []);
  await context.close();
});

test('an operation can be tried out', async () => {
  const { context, page, trouble } = await openPage(browser, server.url, '/docs');
  const health = page.locator('#operations-System-getHealth');
  await health.locator('.opblock-summary-control').click();
  await health.locator('.try-out__btn').click();
  await health.locator('.execute').click();
  await health.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor();
  assert.deepEqual(trouble, []);
  await context.close();
});

test('axe finds nothing on what is our own on the API page', async () => {
  const { context, page } = await openPage(browser, server.url, '/docs');
  await page.locator('.opblock').first().waitFor();
  const findings = await axeFindings(page, [['#swagger-ui']]);
  assert.deepEqual(findings.filter((f) => /^(serious|critical)/.test(f)), []);
  await context.close();
});
