// One's own keys: made, with secrets that are shown once; revoked.
import { Fragment, h } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { t } from '../text.js';
import { Ask, Choice, Field, Listed, say, Trouble, useList, valuesOf, When } from './parts.jsx';
import { call } from './session.js';

const KEYS = '/v1/keys';
const DAY_S = 86400;
const SCOPES = ['files:read', 'files:write', 'jobs:read', 'jobs:write'];

// The only time that these are seen: the focus goes there, so that nobody leaves without knowing.
function Secrets({ made, done }) {
  const heading = useRef(null);
  useEffect(() => heading.current.focus(), [made]);
  return (
    <section class="card secrets" aria-labelledby="secrets-title">
      <h2 id="secrets-title" tabindex="-1" ref={heading}>{t('admin.keys.secrets')}</h2>
      <p>{t('admin.keys.once')}</p>
      <dl class="facts">
        <div class="wide"><dt>{t('admin.keys.secret')}</dt><dd><code id="secret">{made.secret}</code></dd></div>
        <div class="wide"><dt>{t('admin.keys.signing_secret')}</dt><dd><code>{made.signing_secret}</code></dd></div>
      </dl>
      <button type="button" onClick={done}>{t('admin.keys.kept')}</button>
    </section>
  );
}

function state(key) {
  if (key.revoked_at) return 'revoked';
  return key.expires_at && new Date(key.expires_at) <= new Date() ? 'expired' : 'holds';
}

export function Keys({ user }) {
  const list = useList(KEYS, 'keys');
  const [made, setMade] = useState(null);
  const [problem, setProblem] = useState(null);
  const scopes = user.role === 'user' ? SCOPES : [...SCOPES, 'admin'];
  const attempt = async (act) => {
    try {
      await act();
      setProblem(null);
      list.reload();
    } catch (failed) {
      setProblem(failed);
    }
  };
  const make = (event) => {
    const form = event.currentTarget;
    const values = valuesOf(event);
    const days = Number(values.get('days'));
    attempt(async () => {
      setMade(await call('POST', KEYS, { name: values.get('name'), scopes: values.getAll('scope'), ...(days && { expires_in: days * DAY_S }) }));
      form.reset();
    });
  };
  const revoke = (key) => attempt(async () => {
    await call('DELETE', `${KEYS}/${key.id}`);
    say(t('admin.keys.revoked_done', { name: key.name }));
  });
  const columns = ['name', 'scopes', 'created', 'expires', 'state', 'act'].map((name) => t(`admin.keys.${name}`));
  const lives = [['30', t('admin.keys.days', { n: 30 })], ['90', t('admin.keys.days', { n: 90 })], ['365', t('admin.keys.days', { n: 365 })], ['', t('admin.keys.forever')]];
  return (
    <Fragment>
      <h1 tabindex="-1">{t('admin.nav.keys')}</h1>
      {made && <Secrets made={made} done={() => setMade(null)} />}
      <Trouble problem={problem} />
      <form class="filters" onSubmit={make}>
        <Field name="name" label={t('admin.keys.name')} maxlength="100" required />
        <Choice name="days" label={t('admin.keys.life')} options={lives} />
        <fieldset>
          <legend>{t('admin.keys.may')}</legend>
          <div class="ops">
            {scopes.map((scope) => <label class="op"><input type="checkbox" name="scope" value={scope} />{scope}</label>)}
          </div>
        </fieldset>
        <button type="submit" class="primary">{t('admin.keys.make')}</button>
      </form>
      <Listed list={list} caption={t('admin.keys.list')} columns={columns}>
        {(key) => (
          <tr key={key.id} data-key={key.id}>
            <th scope="row">{key.name}</th>
            <td>{key.scopes.join(', ')}</td>
            <td><When at={key.created_at} /></td>
            <td><When at={key.expires_at} /></td>
            <td>{t(`admin.keys.is.${state(key)}`)}</td>
            <td>
              {!key.revoked_at && (
                <Ask label={t('admin.keys.revoke')} aria-label={t('admin.keys.revoke_what', { name: key.name })}
                  question={t('admin.keys.revoke_ask', { name: key.name })} act={() => revoke(key)} />
              )}
            </td>
          </tr>
        )}
      </Listed>
    </Fragment>
  );
}
