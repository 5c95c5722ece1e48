// Builds web/dist: the page, the fragments the server fills in, the API page, the licences; and then, in the mode `admin`, the operators' pages, which share no
// script with the page, so that it stays small. Two builds of the same sources are byte-identical.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const read = (path) => readFileSync(here(path), 'utf8');
const texts = JSON.parse(read('en.json'));
const PAGE = 'page.template.html';
const ADMIN = 'admin.template.html';
const FRAGMENTS = ['file', 'job', 'progress', 'output', 'image', 'problem'];
const SWAGGER = ['swagger-ui-bundle.js', 'swagger-ui.css'];

const IN_PAGES_ONLY = /^(page|nav|footer|docs|admin\.page)\./; // texts that no script needs
const OF_ADMIN = /^admin\./; // texts that only the operators' pages need

const escaped = (s) => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

// {{a.b}} is a text of the dictionary; {{a}} stays for the server.
function worded(html, where) {
  return html.replace(/\{\{([a-z0-9_]+\.[a-z0-9_.]+)\}\}/g, (_, key) => {
    if (!(key in texts)) throw new Error(`${where}: no text ${key} in en.json`);
    return escaped(texts[key]);
  });
}

function licences() {
  const parts = [
    ['preact', ['LICENSE']],
    ['swagger-ui-dist', ['LICENSE', 'NOTICE', 'swagger-ui-bundle.js.LICENSE.txt']],
  ];
  return parts.flatMap(([name, files]) => {
    const { version } = JSON.parse(read(`node_modules/${name}/package.json`));
    return files.map((file) => `==== ${name} ${version}: ${file}\n\n${read(`node_modules/${name}/${file}`).trim()}\n`);
  }).join('\n');
}

function pages(admin) {
  return {
    name: 'pages',
    load(id) {
      const more = id === `${here('en.json')}?admin`;
      if (!more && id !== here('en.json')) return null;
      return JSON.stringify(Object.fromEntries(Object.entries(texts).filter(([key]) => !IN_PAGES_ONLY.test(key) && OF_ADMIN.test(key) === more)));
    },
    transformIndexHtml: { order: 'pre', handler: (html, { path }) => worded(html, path) },
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        if (admin) {
          bundle[ADMIN].fileName = 'admin/index.html';
          return;
        }
        bundle[PAGE].fileName = 'index.html';
        const emit = (fileName, source) => this.emitFile({ type: 'asset', fileName, source });
        for (const name of FRAGMENTS) emit(`fragments/${name}.html`, worded(read(`fragments/${name}.html`), name));
        for (const name of SWAGGER) emit(`docs/${name}`, read(`node_modules/swagger-ui-dist/${name}`).replace(/\n\/[*/]# sourceMappingURL=.*\s*$/, '\n'));
        emit('docs/index.html', worded(read('docs.template.html'), 'docs'));
        for (const name of ['init.js', 'page.css']) emit(`docs/${name}`, read(`src/docs/${name}`));
        emit('docs/icon.svg', read('src/icon.svg'));
        emit('licenses.txt', licences());
      },
    },
  };
}

export default defineConfig(({ mode }) => ({
  root: here('.'),
  base: '/',
  publicDir: false,
  plugins: [pages(mode === 'admin')],
  esbuild: { jsx: 'transform', jsxFactory: 'h', jsxFragment: 'Fragment', legalComments: 'none' },
  build: {
    target: 'es2022',
    outDir: here('dist'),
    emptyOutDir: mode !== 'admin',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      input: mode === 'admin' ? { admin: here(ADMIN) } : { page: here(PAGE) },
      output: {
        entryFileNames: 'assets/[name]-[hash].js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: (asset) => `assets/${asset.names[0]?.endsWith('.css') ? asset.names[0].replace(/\..*/, '') : '[name]'}-[hash][extname]`,
      },
    },
  },
}));
