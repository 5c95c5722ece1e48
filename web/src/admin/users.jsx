// Accounts: added, given another role, switched off and on. For administrators.
import { Fragment, h } from 'preact';
import { useState } from 'preact/hooks';
import { t } from '../text.js';
import { Ask, Choice, Field, Listed, say, Trouble, useList, valuesOf, When } from './parts.jsx';
import { call } from './session.js';

const USERS = '/v1/admin/users';
const roles = () => ['user', 'operator', 'admin'].map((role) => [role, t(`admin.users.is.${role}`)]);

export function Users() {
  const list = useList(USERS, 'users');
  const [problem, setProblem] = useState(null);
  const attempt = async (act, done) => {
    try {
      await act();
      setProblem(null);
      say(done);
    } catch (failed) {
      setProblem(failed);
    }
    list.reload();
  };
  const add = (event) => {
    const form = event.currentTarget;
    const values = Object.fromEntries(valuesOf(event));
    attempt(async () => {
      await call('POST', '/v1/users', values);
      form.reset();
    }, t('admin.users.added', values));
  };
  const change = (user, what) => attempt(() => call('PATCH', `${USERS}/${user.id}`, what), t('admin.users.changed', user));
  const columns = ['email', 'name', 'role', 'created', 'state', 'act'].map((name) => t(`admin.users.${name}`));
  return (
    <Fragment>
      <h1 tabindex="-1">{t('admin.nav.users')}</h1>
      <Trouble problem={problem} />
      <form class="filters" onSubmit={add}>
        <Field name="email" label={t('admin.users.email')} type="email" required />
        <Field name="name" label={t('admin.users.name')} />
        <Field name="password" label={t('admin.users.password')} hint={t('admin.users.password_hint')} type="password" autocomplete="new-password" minlength="10" required />
        <Choice name="role" label={t('admin.users.role')} options={roles()} />
        <button type="submit" class="primary">{t('admin.users.add')}</button>
      </form>
      <Listed list={list} caption={t('admin.users.list')} columns={columns}>
        {(user) => (
          <tr key={user.id} data-user={user.id}>
            <th scope="row">{user.email}</th>
            <td>{user.name}</td>
            <td>
              <select aria-label={t('admin.users.role_of', user)} value={user.role} onChange={(event) => change(user, { role: event.currentTarget.value })}>
                {roles().map(([value, text]) => <option value={value}>{text}</option>)}
              </select>
            </td>
            <td><When at={user.created_at} /></td>
            <td>{t(user.disabled_at ? 'admin.users.off' : 'admin.users.on')}</td>
            <td>
              {user.disabled_at
                ? <button type="button" aria-label={t('admin.users.enable_what', user)} onClick={() => change(user, { disabled: false })}>{t('admin.users.enable')}</button>
                : <Ask label={t('admin.users.disable')} aria-label={t('admin.users.disable_what', user)} question={t('admin.users.disable_ask', user)}
                    act={() => change(user, { disabled: true })} />}
            </td>
          </tr>
        )}
      </Listed>
    </Fragment>
  );
}
