// Takes over the two forms of the page. Without this script they work by themselves and the server fills in the answer.
import { h, render } from 'preact';
import { getOps } from './api.js';
import { Cards } from './card.jsx';
import { choice, offer, Ops } from './ops.jsx';
import { connect, lookUp, sending, shown, upload } from './store.js';
import { t } from './text.js';

const at = (id) => document.getElementById(id);
const input = at('file');

// Changes that come in one burst are drawn once.
let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    render(<Cards entries={shown()} say={say} />, at('live'));
  });
}
function say(text) {
  at('say').textContent = text;
}

function forgetAnswer() {
  at('answer').replaceChildren();
}

// ---- uploads ----

function take(files) {
  if (!files.length) return;
  // the browser has checked these when the form was sent, not when files were dropped
  if (![...at('ops').querySelectorAll('input, select')].every((field) => field.reportValidity())) return;
  forgetAnswer();
  upload(files, choice());
}

// A folder comes as a file that cannot be read: left out.
function droppedFiles(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === 'file' && !item.webkitGetAsEntry?.()?.isDirectory);
  return items.map((item) => item.getAsFile()).filter(Boolean);
}

function readyUpload() {
  const drop = at('drop');
  const over = (on) => drop.classList.toggle('over', on);
  input.multiple = true;
  at('choose').textContent = t('upload.choose_many');
  at('drop-hint').hidden = false;
  at('upload').addEventListener('submit', (event) => {
    event.preventDefault();
    take([...input.files]);
    input.value = '';
  });
  drop.addEventListener('dragenter', () => over(true));
  drop.addEventListener('dragleave', (event) => over(drop.contains(event.relatedTarget)));
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    over(false);
    take(droppedFiles(event.dataTransfer));
  });
  document.addEventListener('paste', (event) => take([...event.clipboardData.files]));
  addEventListener('beforeunload', (event) => { if (sending()) event.preventDefault(); });
}

// ---- look-ups ----

const WHOLE_NUMBER = /^\d+$/;

function readyLookup() {
  at('lookup').addEventListener('submit', (event) => {
    const id = at('id').value.trim().toLowerCase();
    if (WHOLE_NUMBER.test(id)) return; // a row number: the server's own answer to GET /?id= knows it
    event.preventDefault();
    if (!id) return;
    forgetAnswer();
    history.replaceState(null, '', `/?id=${encodeURIComponent(id)}`);
    lookUp(id);
  });
}

// What the server rendered for a file is followed from here on; any other answer of its stays as it is.
function takeOver() {
  const card = at('answer').querySelector('[data-file]');
  const asked = new URLSearchParams(location.search).get('id');
  if (asked) at('id').value = asked;
  if (!card) return;
  forgetAnswer();
  lookUp(card.dataset.file);
}

async function readyOps() {
  let failed = false;
  try {
    offer(await getOps());
  } catch {
    failed = true;
  }
  render(<Ops failed={failed} />, at('ops'));
}

connect(draw, say);
readyUpload();
readyLookup();
takeOver();
readyOps();
document.documentElement.dataset.script = 'ready';
