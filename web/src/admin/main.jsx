// The operators' pages: signing in, and one view for each address behind the #. They use nothing but the public API.
import { Fragment, h, render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { t } from '../text.js';
import './text.js';
import { File, Files } from './files.jsx';
import { Jobs } from './jobs.jsx';
import { Keys } from './keys.jsx';
import { Field, say, Trouble, valuesOf } from './parts.jsx';
import { Queue } from './queue.jsx';
import { Server } from './server.jsx';
import { current, signIn, signOut, whenLost } from './session.js';
import { Users } from './users.jsx';

const RANK = { user: 0, operator: 1, admin: 2 };
const VIEWS = [['files', 1, Files], ['jobs', 1, Jobs], ['queue', 1, Queue], ['server', 1, Server], ['users', 2, Users], ['keys', 0, Keys]];
const viewsOf = (user) => VIEWS.filter(([, rank]) => RANK[user.role] >= rank);

let user = null;
let trouble = null;

function SignIn() {
  const [problem, setProblem] = useState(trouble);
  const [busy, setBusy] = useState(false);
  const send = async (event) => {
    const values = valuesOf(event);
    setBusy(true);
    try {
      begin(await signIn(values.get('email'), values.get('password')));
    } catch (failed) {
      setProblem(failed);
      setBusy(false);
    }
  };
  return (
    <section class="panel narrow" aria-labelledby="sign-in-title">
      <h1 id="sign-in-title" tabindex="-1">{t('admin.sign_in.title')}</h1>
      <Trouble problem={problem} />
      <form id="sign-in" onSubmit={send}>
        <Field name="email" label={t('admin.sign_in.email')} type="email" autocomplete="username" required />
        <Field name="password" label={t('admin.sign_in.password')} type="password" autocomplete="current-password" required />
        <button type="submit" class="primary" disabled={busy}>{t('admin.sign_in.send')}</button>
      </form>
      <p class="hint">{t('admin.sign_in.first')}</p>
    </section>
  );
}

// `#/jobs?op=md5` → ['jobs', '', query]; `#/files/ID` → ['files', ID, query]
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, id = ''] = path.split('/');
  return [name, decodeURIComponent(id), new URLSearchParams(query)];
}

function View() {
  const [, again] = useState(0);
  useEffect(() => {
    const moved = () => {
      again((n) => n + 1);
      show();
      document.querySelector('main h1')?.focus();
    };
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  const [name, id, query] = place();
  const [chosen, , Chosen] = viewsOf(user).find(([view]) => view === name) ?? viewsOf(user)[0];
  if (chosen === 'files' && id) return <File key={id} id={id} />;
  return <Chosen key={location.hash} user={user} query={query} />;
}

function Nav() {
  const [name] = place();
  const views = viewsOf(user);
  const here = views.some(([view]) => view === name) ? name : views[0][0];
  return (
    <Fragment>
      <nav aria-label={t('admin.nav.label')}>
        {views.map(([view]) => <a href={`#/${view}`} aria-current={view === here ? 'page' : null}>{t(`admin.nav.${view}`)}</a>)}
      </nav>
      <p class="who"><span>{user.email}</span> <button type="button" class="quiet" onClick={leave}>{t('admin.sign_out')}</button></p>
    </Fragment>
  );
}

function show() {
  render(user && <Nav />, document.getElementById('nav'));
  render(user ? <View /> : <SignIn />, document.getElementById('main'));
}

function focusHeading() {
  requestAnimationFrame(() => document.querySelector('main h1')?.focus());
}

function begin(who) {
  user = who;
  trouble = null;
  show();
  focusHeading();
}

function end() {
  user = null;
  show();
  focusHeading();
}

async function leave() {
  await signOut().catch(() => {}); // whatever came of it, this page is done with the session
  say(t('admin.signed_out'));
  end();
}

whenLost(() => user && end());
document.querySelector('main noscript')?.remove();
current().then((who) => { user = who; }, (problem) => { trouble = problem; }).finally(() => {
  show();
  document.documentElement.dataset.script = 'ready';
});
