// api/openapi.yaml against the source and against itself.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fromWeb, ROOT } from './harness.mjs';

const Ajv2020 = fromWeb('ajv/dist/2020').default;
const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete'];
const document = JSON.parse(execFileSync(join(ROOT, 'scripts/embed-assets'), ['--openapi', join(ROOT, 'api/openapi.yaml'), '--json'], { encoding: 'utf8' }));
const operations = Object.entries(document.paths).flatMap(([path, item]) => METHODS.filter((m) => item[m])
  .map((method) => ({ name: `${method} ${path}`, ...item[method], parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])] })));

const resolved = (node) => (node.$ref ? resolved(node.$ref.slice(2).split('/').reduce((at, part) => at[part.replace(/~1/g, '/').replace(/~0/g, '~')], document)) : node);

function errorTable() {
  const rows = readFileSync(join(ROOT, 'src/base/err_table.h'), 'utf8').matchAll(/^ERR_ROW\((\w+), (\d+), "(\w+)", (\d+)/gm);
  return [...rows].map(([, , number, word, status]) => ({ number: Number(number), word, status: Number(status) }));
}

test('the codes of problems are the rows of the error table that a client can meet', () => {
  const rows = errorTable();
  assert.ok(rows.length > 50);
  const { ProblemCode, JobErrorCode } = document.components.schemas;
  const words = (is) => rows.filter((r) => is(r.number)).map((r) => r.word).sort();
  // 120 to 129 are of starting up, 151 to 159 of what the server sends out, which webhooks and imports meet, from 160 on of who asks, from 174 on of what imports come to.
  assert.deepEqual([...ProblemCode.enum].sort(), words((n) => n < 110 || n === 150 || (n >= 160 && n < 174)));
  assert.deepEqual([...JobErrorCode.anyOf[1].enum].sort(), words((n) => n >= 110 && !(n >= 120 && n < 130) && n !== 150 && !(n >= 160 && n < 174)));
});

test('the problems in examples have the status and title of the table', () => {
  const table = readFileSync(join(ROOT, 'src/base/err_table.h'), 'utf8');
  const walk = (node) => {
    if (node && typeof node === 'object') {
      if (typeof node.code === 'string' && node.status) assert.ok(table.includes(`"${node.code}", ${node.status},`) && table.includes(`"${node.title}")`), JSON.stringify(node));
      Object.values(node).forEach(walk);
    }
  };
  walk(document);
});

test('each operation has an id of its own, a tag that is described and a 4XX answer; what is to be shown is described', () => {
  const tags = new Set(document.tags.map((tag) => tag.name));
  assert.equal(new Set(operations.map((op) => op.operationId)).size, operations.length);
  const schemes = Object.keys(document.components.securitySchemes);
  for (const shown of document.security.concat(...operations.map((op) => op.security ?? []))) assert.ok(Object.keys(shown).every((name) => schemes.includes(name)), JSON.stringify(shown));
  for (const op of operations) {
    assert.ok(/^[a-z][A-Za-z0-9]+$/.test(op.operationId) && op.summary, op.name);
    assert.ok(op.tags.length === 1 && tags.has(op.tags[0]), op.name);
    assert.ok(Object.keys(op.responses).some((status) => status.startsWith('4')), op.name);
  }
});

const bodies = operations.flatMap((op) => [
  ...(op.requestBody ? [[`${op.name} request`, resolved(op.requestBody).content]] : []),
  ...Object.entries(op.responses).map(([status, response]) => [`${op.name} ${status}`, resolved(response).content]),
]).filter(([, content]) => content).flatMap(([where, content]) => Object.entries(content).map(([type, media]) => ({ where: `${where} ${type}`, type, media })));

const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema(document, 'document');
const pointer = (schema) => JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/'));

test('every body has an example but forms, and every JSON example fits its schema', () => {
  let examples = 0;
  for (const { where, type, media } of bodies) {
    const given = media.examples ? Object.values(media.examples).map((e) => resolved(e).value) : 'example' in media ? [media.example] : [];
    assert.ok(given.length || type === 'multipart/form-data', `${where} has no example`);
    if (!/json/.test(type)) continue;
    const validate = ajv.compile(pointer(media.schema));
    for (const value of given) {
      assert.ok(validate(value), `${where}: ${ajv.errorsText(validate.errors)}`);
      examples++;
    }
  }
  assert.ok(examples > 60, `${examples} examples were held against their schema`);
});

test('the examples of parameters fit their schemas', () => {
  for (const op of operations) {
    for (const parameter of op.parameters.map(resolved)) {
      if (!('example' in parameter)) continue;
      assert.ok(ajv.validate(pointer(parameter.schema), parameter.example), `${op.name} ${parameter.name}: ${ajv.errorsText()}`);
    }
  }
});
