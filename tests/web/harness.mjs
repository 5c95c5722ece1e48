// A server of our own, and Chromium on its pages.
//
// FILEMILL_URL names a running server; otherwise FILEMILL_BIN (build/src/app/filemill) is started on a free port with a data folder of its own.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const fromWeb = createRequire(join(ROOT, 'web/package.json'));
const { chromium } = fromWeb('playwright-core');
const axe = readFileSync(fromWeb.resolve('axe-core/axe.min.js'), 'utf8');

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--no-sandbox'];
const START_MS = 15000;
const STOP_MS = 15000;

const within = (ms, promise, what) => {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what} took more than ${ms} ms`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

function readyLine(child) {
  return new Promise((resolveUrl, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = /^filemill ready (http:\S+)$/.exec(line);
      if (match) resolveUrl(match[1]);
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => reject(new Error(`the server ended with ${code ?? signal} before it was ready`)));
  });
}

const binary = resolve(ROOT, process.env.FILEMILL_BIN ?? 'build/src/app/filemill');
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('FILEMILL_')));

export async function startServer(...flags) {
  if (process.env.FILEMILL_URL) return { url: process.env.FILEMILL_URL.replace(/\/$/, ''), stop: async () => {} };
  return serve(mkdtempSync(join(tmpdir(), 'filemill-web-')), flags);
}

// The administrator of a server that has accounts.
export const PERSON = { email: 'admin@example.org', password: 'a horse that is correct' };
export function startPeopled(...flags) {
  const data = mkdtempSync(join(tmpdir(), 'filemill-web-'));
  execFileSync(binary, ['admin', 'user', 'add', PERSON.email, '--role', 'admin', '--data', join(data, 'data')], { env, input: `${PERSON.password}\n` });
  return serve(data, flags);
}

async function serve(data, flags) {
  const child = spawn(binary, ['serve', '--data', join(data, 'data'), '--listen', '127.0.0.1:0', ...flags], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((done) => { child.on('exit', done); });
  const url = await within(START_MS, readyLine(child), 'the start of the server');
  const stop = async () => {
    child.kill('SIGTERM');
    const code = await within(STOP_MS, ended, 'the stop of the server').catch((error) => { child.kill('SIGKILL'); throw error; });
    rmSync(data, { recursive: true });
    if (code !== 0) throw new Error(`the server ended with ${code}`);
  };
  return { url, stop };
}

export const startBrowser = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });

// A page in a fresh profile. `trouble` collects what no page may do: exceptions, refusals by its policy, requests to others.
export async function openPage(browser, url, path, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const trouble = [];
  page.on('pageerror', (error) => trouble.push(`exception: ${error.message}`));
  page.on('console', (message) => { if (/Content Security Policy|CSP/.test(message.text())) trouble.push(message.text()); });
  page.on('request', (request) => {
    if (!request.url().startsWith(`${url}/`) && !request.url().startsWith('data:')) trouble.push(`request to ${request.url()}`);
  });
  await page.goto(url + path);
  if (options.javaScriptEnabled !== false && /^\/(admin)?$/.test(path.split(/[?#]/)[0])) await page.waitForSelector('html[data-script=ready]');
  return { context, page, trouble };
}

// What axe-core (WCAG 2.0 to 2.2, A and AA, and its best practices) finds, but for the parts named.
export async function axeFindings(page, except = []) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate((exclude) => globalThis.axe.run({ exclude }), except);
  return violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`);
}

// Tag, class and the attributes that mean something of the first card, without the buttons, which only script can serve.
export const cardSkeleton = (page) => page.evaluate(() => {
  const meaning = ['data-file', 'data-job', 'data-final', 'data-code', 'href', 'role', 'scope', 'datetime', 'aria-labelledby', 'aria-label', 'max', 'id'];
  const skeleton = (element) => {
    const own = meaning.filter((a) => element.hasAttribute(a)).map((a) => `${a}=${element.getAttribute(a)}`);
    if (element.matches('progress')) own.push(`value=${element.value}`);
    const children = [...element.children].filter((child) => !child.matches('button'));
    return [[element.tagName, element.className, ...own].join(' '), ...children.flatMap(skeleton)];
  };
  return skeleton(document.querySelector('.card'));
});
