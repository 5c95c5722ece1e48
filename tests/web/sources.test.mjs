// What holds for web/ itself: words only in the dictionary, sizes, the table that is made from it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { fromWeb, ROOT } from './harness.mjs';

const { transformSync } = fromWeb('esbuild');
const { parseAst } = await import(fromWeb.resolve('rollup/parseAst').replace(/parseAst\.js$/, 'es/parseAst.js'));
const web = (path) => join(ROOT, 'web', path);
const read = (path) => readFileSync(web(path), 'utf8');
const texts = JSON.parse(read('en.json'));
const templates = ['page.template.html', 'admin.template.html', 'docs.template.html', ...readdirSync(web('fragments')).map((name) => `fragments/${name}`)];
const scripts = ['src', 'src/admin'].flatMap((folder) => readdirSync(web(folder)).filter((name) => /\.jsx?$/.test(name)).map((name) => `${folder}/${name}`));

const SPOKEN = new Set(['title', 'aria-label', 'placeholder', 'alt']);

test('no template has a word of its own', () => {
  for (const name of templates) {
    const html = read(name).replace(/\{\{[a-z0-9_.]+\}\}/g, '').replace(/<!--.*?-->/g, '').replace(/<!doctype html>/, '');
    const spoken = [...html.matchAll(/\b(title|aria-label|placeholder|alt|content)="([^"]*)"/g)].filter(([, , value]) => !/^(width=|light dark|noindex)/.test(value));
    const words = html.replace(/<[^>]*>/g, ' ') + spoken.map(([, , value]) => value).join(' ');
    assert.ok(!/\p{L}/u.test(words), `${name}: ${words.match(/\p{L}.*/u)?.[0]}`);
  }
});

function* nodes(node) {
  if (!node || typeof node !== 'object') return;
  if (node.type) yield node;
  for (const value of Object.values(node)) {
    if (Array.isArray(value)) for (const item of value) yield* nodes(item);
    else yield* nodes(value);
  }
}

// Literal children of h(…) and literal values of attributes that are read out.
function* spokenLiterals(code) {
  for (const node of nodes(parseAst(code))) {
    if (node.type !== 'CallExpression' || node.callee.name !== 'h') continue;
    const [, attributes, ...children] = node.arguments;
    yield* children.filter((c) => c.type === 'Literal' && typeof c.value === 'string').map((c) => c.value);
    for (const p of attributes?.properties ?? []) {
      if (SPOKEN.has(p.key?.value ?? p.key?.name) && p.value.type === 'Literal') yield p.value.value;
    }
  }
}

test('no script has a word of its own', () => {
  let elements = 0;
  for (const name of scripts) {
    const { code } = transformSync(read(name), { loader: 'jsx', jsxFactory: 'h', jsxFragment: 'Fragment' });
    elements += code.split('h(').length;
    for (const text of spokenLiterals(code)) assert.ok(!/\p{L}/u.test(text), `${name}: ${text}`);
  }
  assert.ok(elements > 40);
});

test('the dictionary has every text that is used, and no other', () => {
  const used = new Set(templates.flatMap((name) => [...read(name).matchAll(/\{\{([a-z0-9_]+\.[a-z0-9_.]+)\}\}/g)].map(([, key]) => key)));
  const patterns = [];
  for (const name of scripts) {
    const code = read(name);
    for (const [, key] of code.matchAll(/'((?:[a-z_]+\.)+[a-z_]+)'/g)) if (key in texts) used.add(key);
    for (const [, key] of code.matchAll(/\bt\('([^']+)'/g)) used.add(key);
    for (const [, head] of code.matchAll(/`((?:[a-z_]+\.)+)\$\{/g)) patterns.push(head);
  }
  for (const key of used) assert.ok(key in texts, `en.json has no ${key}`);
  for (const key of Object.keys(texts)) assert.ok(used.has(key) || patterns.some((head) => key.startsWith(head)), `nothing uses ${key}`);
});

// What a built page loads, and what that loads.
function loaded(page) {
  const parts = new Set([page]);
  for (const part of parts) {
    for (const [, name] of read(`dist/${part}`).matchAll(/["'./]((?:assets\/)?[a-z]+-[\w-]{8}\.(?:js|css|svg))["']/gi)) parts.add(name.startsWith('assets/') ? name : `assets/${name}`);
  }
  return [...parts];
}

test('what the page loads has none of the operators\' pages, and nothing that was built is loaded by none', () => {
  const [page, admin] = [loaded('index.html'), loaded('admin/index.html')];
  assert.ok(page.length > 3 && !page.some((name) => /admin/.test(name)), page.join(' '));
  assert.ok(!page.some((name) => /\/v1\/admin|"admin\.[a-z_]+[."]/.test(read(`dist/${name}`))));
  const script = (parts) => parts.filter((name) => name.endsWith('.js')).map((name) => read(`dist/${name}`)).join('');
  const words = (parts, wanted) => Object.entries(texts).filter(([key]) => wanted.test(key)).filter(([key]) => !script(parts).includes(`"${key}":`));
  assert.deepEqual(words(page, /^(upload|card|phase|problem|say)\./), []);
  assert.deepEqual(words(admin, /^admin\.(?!page\.)|^(card|problem|state)\./), []);
  assert.deepEqual([...new Set([...page, ...admin])].filter((name) => /^assets/.test(name)).sort(), readdirSync(web('dist/assets')).map((name) => `assets/${name}`).sort());
});

test('the page with all it loads is below 17 KB compressed', () => {
  const parts = loaded('index.html');
  const sum = parts.reduce((n, name) => n + gzipSync(readFileSync(web(`dist/${name}`)), { level: 9 }).length, 0);
  assert.ok(sum > 1000 && sum < 17 * 1024, `${sum} bytes`);
});

test('no built page has an inline script or style, or asks anybody else', () => {
  for (const name of ['index.html', 'admin/index.html', 'docs/index.html', ...readdirSync(web('dist/fragments')).map((f) => `fragments/${f}`)]) {
    const html = read(`dist/${name}`);
    assert.ok(!/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/.test(html), name);
    for (const [, address] of html.matchAll(/(?:src|href|action)="([^"]*)"/g)) assert.ok(/^(\/(?!\/)|#)/.test(address), `${name}: ${address}`);
  }
});

function embed(folder) {
  const out = ['web_assets.c', 'web_assets.h', 'web_assets.bin'].map((name) => join(folder, name));
  execFileSync(join(ROOT, 'scripts/embed-assets'), ['--dist', web('dist'), '--openapi', join(ROOT, 'api/openapi.yaml'), ...out]);
  return out.map((path) => readFileSync(path));
}

test('the table of assets is sorted, complete and the same each time', () => {
  const folder = mkdtempSync(join(tmpdir(), 'filemill-assets-'));
  try {
    const [source, , bytes] = embed(folder);
    assert.deepEqual(embed(folder)[2], bytes);
    const rows = [...source.toString().matchAll(/^\t\{"([^"]+)", "([^"]+)", "W\/\\"[0-9a-f]{32}\\"", web_assets_bytes \+ (\d+), (\d+), (NULL|web_assets_bytes \+ (\d+)), (\d+)\},$/gm)];
    const paths = rows.map((row) => row[1]);
    assert.deepEqual(paths, [...paths].sort());
    assert.ok(['/index.html', '/admin/index.html', '/openapi.json', '/docs/swagger-ui-bundle.js', 'fragments/file.html'].every((path) => paths.includes(path)));
    for (const [, path, , gzipAt, gzipLength, identity, identityAt, length] of rows) {
      const whole = gunzipSync(bytes.subarray(Number(gzipAt), Number(gzipAt) + Number(gzipLength)));
      assert.equal(whole.length, Number(length), path);
      assert.equal(identity === 'NULL', whole.length > 256 * 1024, path);
      if (identity !== 'NULL') assert.ok(whole.equals(bytes.subarray(Number(identityAt), Number(identityAt) + whole.length)), path);
      if (path !== '/openapi.json') assert.ok(whole.equals(readFileSync(web(`dist/${path.replace(/^\//, '')}`))), path);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
