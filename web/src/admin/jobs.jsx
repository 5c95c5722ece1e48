// Everybody's jobs: looked for, cancelled, tried again.
import { Fragment, h } from 'preact';
import { useState } from 'preact/hooks';
import { percent } from '../format.js';
import { t } from '../text.js';
import { Preview, STATES, stateOptions } from './files.jsx';
import { addressOf, Choice, Field, Listed, Owner, say, State, Table, Trouble, useList, useRead, valuesOf, When } from './parts.jsx';
import { call } from './session.js';

const JOBS = '/v1/admin/jobs';
const CANCELS = new Set(['queued', 'running']);
const RETRIES = new Set(['failed', 'cancelled', 'quarantined']);

function Outcome({ job }) {
  const result = job.error ? job.error.code : job.result && JSON.stringify(job.result);
  return (
    <Fragment>
      {result && <code class="result">{result}</code>}
      {job.error?.detail && <p class="why">{job.error.detail}</p>}
      <ul class="outputs">
        {job.outputs.map((out) => <li><Preview type={out.type} href={out.href} name={out.name} /><a href={out.href}>{out.name}</a></li>)}
      </ul>
    </Fragment>
  );
}

function Act({ job, changed, failed }) {
  const act = CANCELS.has(job.state) ? 'cancel' : RETRIES.has(job.state) ? 'retry' : null;
  const [busy, setBusy] = useState(false);
  if (!act) return null;
  const run = async () => {
    setBusy(true);
    try {
      changed(await call('POST', `${JOBS}/${job.id}/${act}`));
      failed(null);
      say(t(`admin.jobs.${act}_done`, { op: job.op }));
    } catch (problem) {
      failed(problem);
    }
    setBusy(false);
  };
  return <button type="button" disabled={busy} aria-label={t(`admin.jobs.${act}_what`, { op: job.op, id: job.id })} onClick={run}>{t(`admin.jobs.${act}`)}</button>;
}

const Row = ({ job, ...act }) => (
  <tr data-job={job.id}>
    <th scope="row">{job.op}</th>
    <td><State state={job.state} />{job.progress != null && percent(job.progress)}</td>
    <td><a href={`#/files/${job.file}`}><code class="id">{job.file}</code></a></td>
    <td>{job.owner && <Owner owner={job.owner} />}</td>
    <td><When at={job.created_at} /></td>
    <td><Outcome job={job} /></td>
    <td><Act job={job} {...act} /></td>
  </tr>
);

const columns = () => ['op', 'state', 'file', 'owner', 'created', 'outcome', 'act'].map((name) => t(`admin.jobs.${name}`));

// The jobs of one file.
export function JobTable({ jobs, caption, changed }) {
  const [problem, failed] = useState(null);
  return (
    <Fragment>
      <Trouble problem={problem} />
      <Table caption={caption} columns={columns()} rows={jobs}>{(job) => <Row key={job.id} job={job} changed={changed} failed={failed} />}</Table>
    </Fragment>
  );
}

export function Jobs({ query }) {
  const [filters, setFilters] = useState(Object.fromEntries(query));
  const [problem, failed] = useState(null);
  const list = useList(addressOf(JOBS, filters), 'jobs');
  const ops = useRead('/v1/ops').data?.ops ?? [];
  const search = (event) => {
    const values = valuesOf(event);
    setFilters({ state: values.get('state'), op: values.get('op'), owner: values.get('owner').trim(), file: values.get('file').trim() });
  };
  return (
    <Fragment>
      <h1 tabindex="-1">{t('admin.nav.jobs')}</h1>
      <form class="filters" role="search" onSubmit={search}>
        <Choice name="state" label={t('admin.jobs.state')} options={stateOptions(STATES)} value={filters.state ?? ''} />
        <Choice name="op" label={t('admin.jobs.op')} options={[['', t('admin.any')], ...ops.map(({ name }) => [name, name])]} value={filters.op ?? ''} />
        <Field name="owner" label={t('admin.owner')} hint={t('admin.owner_hint')} />
        <Field name="file" label={t('admin.jobs.of_file')} />
        <button type="submit" class="primary">{t('admin.search')}</button>
      </form>
      <Trouble problem={problem} />
      <Listed list={list} caption={t('admin.jobs.found')} columns={columns()}>
        {(job) => <Row key={job.id} job={job} changed={list.replace} failed={failed} />}
      </Listed>
    </Fragment>
  );
}
