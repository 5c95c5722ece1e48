// How the server fares: what the storage check found, who runs jobs, what was done by whom.
import { Fragment, h } from 'preact';
import { useState } from 'preact/hooks';
import { exactBytes, number } from '../format.js';
import { t } from '../text.js';
import { addressOf, Field, Listed, Owner, Table, Trouble, useList, useRead, valuesOf, When } from './parts.jsx';

function Damaged({ row }) {
  return (
    <tr>
      <th scope="row">{row.file ? <a href={`#/files/${row.file}`}>{row.name}</a> : row.name}</th>
      <td>{row.file ? t('admin.server.file') : t('admin.server.output', { n: row.output, job: row.job })}</td>
      <td><Owner owner={row.owner} /></td>
      <td>{exactBytes(row.size)}</td>
      <td><When at={row.damaged_at} /></td>
    </tr>
  );
}

function Storage() {
  const { data, problem } = useRead('/v1/admin/storage');
  const columns = ['name', 'what', 'owner', 'size', 'since'].map((name) => t(`admin.server.${name}`));
  return (
    <div class="card">
      <h2>{t('admin.server.storage')}</h2>
      <Trouble problem={problem} />
      {data && (
        <Fragment>
          {data.sealed && <p class="notice">{t('admin.server.sealed')}</p>}
          <p>
            {!data.scrub.began_at && t('admin.server.scrub_none')}
            {data.scrub.began_at && <Fragment>{t(data.scrub.whole ? 'admin.server.scrub_whole' : 'admin.server.scrub_goes')} <When at={data.scrub.began_at} /></Fragment>}
          </p>
          <p id="damaged-count">{data.damaged_count ? t('admin.server.damaged_n', { n: number(data.damaged_count) }) : t('admin.server.damaged_none')}</p>
          {data.damaged.length > 0 && <Table caption={t('admin.server.damaged')} columns={columns} rows={data.damaged}>{(row) => <Damaged row={row} />}</Table>}
        </Fragment>
      )}
    </div>
  );
}

function Workers() {
  const { data, problem } = useRead('/v1/admin/workers');
  const columns = ['worker', 'alive', 'lease', 'running'].map((name) => t(`admin.server.${name}`));
  return (
    <div class="card">
      <h2>{t('admin.server.workers')}</h2>
      <Trouble problem={problem} />
      <Table caption={t('admin.server.workers')} columns={columns} rows={data?.workers ?? []}>
        {(worker) => (
          <tr key={worker.id}>
            <th scope="row"><code class="id">{worker.id}</code></th>
            <td>{t(worker.alive ? 'admin.yes_word' : 'admin.no_word')}</td>
            <td><When at={worker.lease_until} /></td>
            <td>{number(worker.running)}</td>
          </tr>
        )}
      </Table>
    </div>
  );
}

const FRAME = new Set(['seq', 'prev', 'hash', 'at', 'act', 'by', 'owner', 'peer', 'request_id']);
const rest = (line) => Object.entries(line).filter(([name]) => !FRAME.has(name)).map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);

function Audit() {
  const [filters, setFilters] = useState({});
  const list = useList(addressOf('/v1/admin/audit', filters), 'lines');
  const columns = ['line', 'at', 'act', 'by', 'details'].map((name) => t(`admin.server.${name}`));
  return (
    <div class="card">
      <h2>{t('admin.server.audit')}</h2>
      <form class="filters" role="search" aria-label={t('admin.server.audit')} onSubmit={(event) => setFilters({ act: valuesOf(event).get('act').trim() })}>
        <Field name="act" label={t('admin.server.act_only')} hint={t('admin.server.act_hint')} />
        <button type="submit" class="primary">{t('admin.search')}</button>
      </form>
      <Listed list={list} caption={t('admin.server.audit')} columns={columns}>
        {(line) => (
          <tr key={line.seq} data-act={line.act}>
            <th scope="row">{number(line.seq)}</th>
            <td><When at={line.at} /></td>
            <td>{line.act}</td>
            <td>{[line.by, line.owner, line.peer].filter(Boolean).join(', ')}</td>
            <td class="why">{rest(line).join(', ')}</td>
          </tr>
        )}
      </Listed>
    </div>
  );
}

export const Server = () => (
  <Fragment>
    <h1 tabindex="-1">{t('admin.nav.server')}</h1>
    <Storage />
    <Workers />
    <Audit />
  </Fragment>
);
