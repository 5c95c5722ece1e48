// Everybody's files: looked for, looked at; one with its jobs.
import { Fragment, h } from 'preact';
import { useState } from 'preact/hooks';
import { exactBytes } from '../format.js';
import { t } from '../text.js';
import { JobTable } from './jobs.jsx';
import { addressOf, Choice, Field, Listed, Owner, State, stateName, Trouble, useList, useRead, valuesOf, When } from './parts.jsx';

const FILES = '/v1/admin/files';
const SHOWN = /^image\/(avif|gif|jpeg|png|webp)$/; // what browsers draw
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const DIGEST = /^[0-9a-f]{64}$/i;
export const STATES = ['queued', 'running', 'succeeded', 'failed', 'cancelled', 'quarantined'];
export const stateOptions = (states) => [['', t('admin.any')], ...states.map((state) => [state, stateName(state)])];

export function Preview({ type, href, name }) {
  if (!SHOWN.test(type)) return null;
  return <a class="preview" href={`${href}?inline=1`}><img src={`${href}?inline=1`} alt={t('admin.files.preview', { name })} loading="lazy" /></a>;
}

const content = (file) => `${FILES}/${file.id}/content`;

function Row({ file }) {
  const states = [...new Set(file.jobs.map((job) => job.state))];
  return (
    <tr data-file={file.id}>
      <td><Preview type={file.type} href={content(file)} name={file.name} /></td>
      <th scope="row"><a href={`#/files/${file.id}`}>{file.name}</a></th>
      <td>{exactBytes(file.size)}</td>
      <td>{file.type}</td>
      <td><When at={file.created_at} /></td>
      <td><Owner owner={file.owner} /></td>
      <td>{states.map((state) => <State state={state} />)}</td>
    </tr>
  );
}

// One box for what people have at hand: a whole digest, else a part of the name.
const searched = (text) => (DIGEST.test(text) ? { sha256: text } : { name: text });

export function Files() {
  const [filters, setFilters] = useState({});
  const list = useList(addressOf(FILES, filters), 'files');
  const search = (event) => {
    const values = valuesOf(event);
    const text = values.get('search').trim();
    if (ID.test(text)) location.hash = `#/files/${text}`;
    else setFilters({ ...searched(text), owner: values.get('owner').trim(), state: values.get('state') });
  };
  const columns = ['preview_column', 'name', 'size', 'type', 'stored', 'owner', 'jobs'].map((name) => t(`admin.files.${name}`));
  return (
    <Fragment>
      <h1 tabindex="-1">{t('admin.nav.files')}</h1>
      <form class="filters" role="search" onSubmit={search}>
        <Field name="search" label={t('admin.files.search')} hint={t('admin.files.search_hint')} />
        <Field name="owner" label={t('admin.owner')} hint={t('admin.owner_hint')} />
        <Choice name="state" label={t('admin.files.with_jobs')} options={stateOptions(STATES)} />
        <button type="submit" class="primary">{t('admin.search')}</button>
      </form>
      <Listed list={list} caption={t('admin.files.found')} columns={columns}>{(file) => <Row key={file.id} file={file} />}</Listed>
    </Fragment>
  );
}

export function File({ id }) {
  const { data: file, problem, reload } = useRead(`${FILES}/${encodeURIComponent(id)}`);
  const fact = (name, value) => <div><dt>{name}</dt><dd>{value}</dd></div>;
  return (
    <Fragment>
      <h1 tabindex="-1">{file ? file.name : t('admin.files.one')}</h1>
      <p><a href="#/files">{t('admin.files.back')}</a></p>
      <Trouble problem={problem} />
      {file && (
        <section class="card" aria-label={file.name}>
          <Preview type={file.type} href={content(file)} name={file.name} />
          <dl class="facts">
            {fact(t('card.id'), <code>{file.id}</code>)}
            {fact(t('card.size'), exactBytes(file.size))}
            {fact(t('card.type'), file.type)}
            {fact(t('card.stored'), <When at={file.created_at} />)}
            {fact(t('admin.owner'), <Owner owner={file.owner} />)}
            {fact(t('card.sha256'), <code>{file.sha256}</code>)}
          </dl>
          <p class="links"><a href={content(file)}>{t('card.download')}</a><a href={`${FILES}/${file.id}`}>{t('card.json')}</a></p>
          <JobTable jobs={file.jobs} changed={reload} caption={t('card.jobs')} />
        </section>
      )}
    </Fragment>
  );
}
