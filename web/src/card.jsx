// One card an entry. The parts for a stored file and for a problem are the markup of fragments/*.html, which the server fills in for
// browsers without script: change both together; tests/web compares them.
import { Fragment, h } from 'preact';
import { useState } from 'preact/hooks';
import { final } from './follow.js';
import { bytes, exactBytes, number, percent, time } from './format.js';
import { dismiss } from './store.js';
import { has, t } from './text.js';

function Copy({ value, what, say }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
    say(t('say.copied', { what }));
    setTimeout(() => setCopied(false), 2000);
  };
  if (!navigator.clipboard) return null; // not offered outside secure contexts
  return <button type="button" class="copy" aria-label={t('card.copy_what', { what })} onClick={copy}>{copied ? t('card.copied') : t('card.copy')}</button>;
}

function Fact({ name, wide, children }) {
  return <div class={wide ? 'wide' : null}><dt>{name}</dt><dd>{children}</dd></div>;
}

const stateName = (state) => (has(`state.${state}`) ? t(`state.${state}`) : state);

function resultText(job) {
  if (job.error) return job.error.code;
  const values = Object.values(job.result ?? {});
  return values.length === 1 && typeof values[0] === 'string' ? values[0] : JSON.stringify(job.result ?? undefined);
}

const SHOWN = /^image\/(avif|gif|jpeg|png|webp)$/;

function Output({ out }) {
  return (
    <li>
      {SHOWN.test(out.type) && <a href={`${out.href}?inline=1`}><img src={`${out.href}?inline=1`} alt={out.name} loading="lazy" /></a>}
      <a href={out.href}>{out.name}</a>
      <span class="hint">{t('card.about_output', { type: out.type, size: exactBytes(out.size) })}</span>
    </li>
  );
}

function Progress({ share }) {
  return (
    <div class="share">
      <progress aria-label={t('card.progress')} max="1" value={share} />
      <span class="hint">{percent(share)}</span>
    </div>
  );
}

function Job({ job, say }) {
  const result = resultText(job);
  return (
    <tr data-job={job.id}>
      <th scope="row">{job.op}</th>
      <td>
        <span class={`state ${job.state}`}>{stateName(job.state)}</span>
        {job.progress != null && <Progress share={job.progress} />}
      </td>
      <td>
        <code>{result}</code>
        {job.state === 'succeeded' && result && <Copy value={result} what={job.op} say={say} />}
        <p class="why">{job.error?.detail}</p>
        <ul class="outputs">{job.outputs.map((out) => <Output out={out} />)}</ul>
      </td>
    </tr>
  );
}

function Jobs({ jobs, say }) {
  const columns = [t('card.op'), t('card.state'), t('card.result')];
  return (
    <Fragment>
      <table class="jobs">
        <caption>{t('card.jobs')}</caption>
        <thead><tr>{columns.map((c) => <th scope="col">{c}</th>)}</tr></thead>
        <tbody>{jobs.map((job) => <Job key={job.id} job={job} say={say} />)}</tbody>
      </table>
      <p class="hint none">{t('card.no_jobs')}</p>
    </Fragment>
  );
}

function Stored({ file, notice, say }) {
  return (
    <article class="card" data-file={file.id} data-final={String(final(file))} aria-labelledby={`title-${file.id}`}>
      <div class="card-head"><h3 id={`title-${file.id}`}>{file.name}</h3></div>
      <dl class="facts">
        <Fact wide name={t('card.id')}><code>{file.id}</code><Copy value={file.id} what={t('card.id')} say={say} /></Fact>
        <Fact name={t('card.number')}>{number(file.number)}</Fact>
        <Fact name={t('card.size')}>{exactBytes(file.size)}</Fact>
        <Fact name={t('card.type')}>{file.type}</Fact>
        <Fact name={t('card.stored')}><time datetime={file.created_at}>{time(file.created_at)}</time></Fact>
        <Fact wide name={t('card.sha256')}><code>{file.sha256}</code><Copy value={file.sha256} what={t('card.sha256')} say={say} /></Fact>
      </dl>
      <Jobs jobs={file.jobs} say={say} />
      {notice && <p class="notice">{notice}</p>}
      <p class="links">
        <a href={`/v1/files/${file.id}/content`}>{t('card.download')}</a>
        <a href={`/v1/files/${file.id}`}>{t('card.json')}</a>
        <a href={`/?id=${file.id}`}>{t('card.link')}</a>
      </p>
    </article>
  );
}

function Failed({ entry }) {
  const { problem, again } = entry;
  return (
    <div class="card problem" data-code={problem.code} role="alert">
      <div class="card-head">
        <h3>{problem.title}</h3>
        {again && <button type="button" onClick={again}>{t('card.retry')}</button>}
        <button type="button" class="quiet" onClick={() => dismiss(entry)}>{t('card.dismiss')}</button>
      </div>
      {entry.name && entry.name !== problem.title && <p class="about">{entry.name}</p>}
      <p>{problem.detail}</p>
      <p class="code"><code>{problem.code}</code></p>
    </div>
  );
}

function phaseText(entry) {
  if (entry.phase !== 'sending') return t(`phase.${entry.phase}`);
  return t('phase.sending', { sent: bytes(entry.sent), total: bytes(entry.total), rate: bytes(entry.rate) });
}

function Moving({ entry }) {
  const measured = entry.phase === 'sending' && entry.total > 0;
  return (
    <article class="card moving" aria-busy="true">
      <div class="card-head">
        <h3>{entry.name}</h3>
        {entry.stop && entry.phase !== 'keeping' && <button type="button" class="quiet" onClick={entry.stop}>{t('card.cancel')}</button>}
      </div>
      {entry.phase !== 'waiting' && (
        <progress aria-label={t('phase.progress', { name: entry.name })} max={measured ? entry.total : undefined} value={measured ? entry.sent : undefined} />
      )}
      <p class="hint">{phaseText(entry)}</p>
    </article>
  );
}

function Card({ entry, say }) {
  if (entry.phase === 'stored') return <Stored file={entry.file} notice={entry.notice} say={say} />;
  return entry.phase === 'failed' ? <Failed entry={entry} /> : <Moving entry={entry} />;
}

export const Cards = ({ entries, say }) => <Fragment>{entries.map((entry) => <Card key={entry.key} entry={entry} say={say} />)}</Fragment>;
