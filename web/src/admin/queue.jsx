// The queue by op and state, and what is done to all jobs of an op at once: batch after batch, until none is left or somebody stops it.
import { Fragment, h } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { number } from '../format.js';
import { t } from '../text.js';
import { STATES } from './files.jsx';
import { Ask, say, stateName, Table, Trouble, useRead } from './parts.jsx';
import { call } from './session.js';

const ACTS = { queued: 'cancel', running: 'cancel', failed: 'retry', cancelled: 'retry', quarantined: 'retry' };

export function Queue() {
  const { data, problem, reload } = useRead('/v1/admin/queue');
  const [running, setRunning] = useState(null);
  const [failed, setFailed] = useState(null);
  const stop = useRef(false);

  const all = async (act, op, state) => {
    let changed = 0;
    let refused = 0;
    let cursor = null;
    stop.current = false;
    setFailed(null);
    try {
      do {
        setRunning({ act, op, changed });
        const answer = await call('POST', `/v1/admin/queue/${act}`, { op, state, cursor });
        changed += answer.changed;
        refused += answer.refused.length;
        cursor = answer.next;
      } while (cursor && !stop.current);
    } catch (trouble) {
      setFailed(trouble);
    }
    setRunning(null);
    say(t(`admin.queue.${act}_done`, { n: number(changed), refused: number(refused) }));
    reload();
  };

  const cell = (row, state) => {
    const act = ACTS[state];
    const values = { n: number(row[state]), op: row.op, state: stateName(state) };
    return (
      <td>
        {number(row[state])}
        {act && row[state] > 0 && (
          <Ask class="quiet" label={t(`admin.queue.${act}`)} aria-label={t(`admin.queue.${act}_what`, values)} question={t(`admin.queue.${act}_ask`, values)}
            disabled={running !== null} act={() => all(act, row.op, state)} />
        )}
      </td>
    );
  };
  const columns = [t('admin.jobs.op'), t('admin.queue.ready'), t('admin.queue.held'), ...STATES.map(stateName)];
  return (
    <Fragment>
      <h1 tabindex="-1">{t('admin.nav.queue')}</h1>
      <Trouble problem={problem ?? failed} />
      {running && (
        <p class="notice">
          {t(`admin.queue.${running.act}_runs`, { op: running.op, n: number(running.changed) })}
          <button type="button" class="quiet" onClick={() => { stop.current = true; }}>{t('admin.queue.stop')}</button>
        </p>
      )}
      {data && (
        <Fragment>
          <Table caption={t('admin.queue.by_op')} columns={columns} rows={data.ops}>
            {(row) => (
              <tr key={row.op} data-op={row.op}>
                <th scope="row"><a href={`#/jobs?op=${encodeURIComponent(row.op)}`}>{row.op}</a></th>
                <td>{number(row.ready)}</td>
                <td>{number(row.held)}</td>
                {STATES.map((state) => cell(row, state))}
              </tr>
            )}
          </Table>
          <p class="hint">{t('admin.queue.ended_among', { n: number(data.ended_among) })}</p>
        </Fragment>
      )}
      <button type="button" onClick={reload}>{t('admin.reload')}</button>
    </Fragment>
  );
}
