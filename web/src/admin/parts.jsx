// What the views are made of: lists that go on, tables, forms, questions before what cannot be taken back.
import { Fragment, h } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { time } from '../format.js';
import { has, t } from '../text.js';
import { call } from './session.js';

export function say(text) {
  document.getElementById('say').textContent = text;
}

export const stateName = (state) => (has(`state.${state}`) ? t(`state.${state}`) : state);
export const State = ({ state }) => <span class={`state ${state}`}>{stateName(state)}</span>;
export const When = ({ at }) => (at ? <time datetime={at}>{time(at)}</time> : null);
export const Owner = ({ owner }) => <code class="id">{owner === 'public' ? t('admin.public') : owner}</code>;

export function Trouble({ problem }) {
  if (!problem) return null;
  return (
    <div class="card problem" role="alert" data-code={problem.code}>
      <h2>{problem.title}</h2>
      {problem.detail && <p>{problem.detail}</p>}
      <p class="code"><code>{problem.code}</code></p>
    </div>
  );
}

// What an address answers: read anew when the address or `round` changes; an answer that comes too late is dropped.
export function useRead(path) {
  const [round, setRound] = useState(0);
  const [answer, setAnswer] = useState({ data: null, problem: null });
  useEffect(() => {
    let wanted = true;
    call('GET', path).then((data) => wanted && setAnswer({ data, problem: null }), (problem) => wanted && setAnswer({ data: null, problem }));
    return () => { wanted = false; };
  }, [path, round]);
  return { ...answer, reload: () => setRound((n) => n + 1) };
}

// A list, page after page. `member` is the answer's member that holds the rows.
export function useList(path, member) {
  const [rows, setRows] = useState([]);
  const [next, setNext] = useState(null);
  const [problem, setProblem] = useState(null);
  const [round, setRound] = useState(0);
  const [busy, setBusy] = useState(true);
  const newest = useRef(0);
  const read = async (cursor, before) => {
    const mine = ++newest.current;
    setBusy(true);
    try {
      const answer = await call('GET', cursor ? `${path}${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}` : path);
      if (mine !== newest.current) return;
      setRows([...before, ...answer[member]]);
      setNext(answer.next);
      setProblem(null);
    } catch (failed) {
      if (mine === newest.current) setProblem(failed);
    }
    if (mine === newest.current) setBusy(false);
  };
  useEffect(() => {
    setRows([]);
    setNext(null);
    read(null, []);
    return () => { newest.current++; };
  }, [path, round]);
  const replace = (row) => setRows((all) => all.map((old) => (old.id === row.id ? row : old)));
  return { rows, next, problem, busy, replace, more: () => read(next, rows), reload: () => setRound((n) => n + 1) };
}

export function Table({ caption, columns, rows, none, children }) {
  return (
    <div class="scroll" tabindex="0" role="region" aria-label={caption}>
      <table class="rows">
        <caption>{caption}</caption>
        <thead><tr>{columns.map((c) => <th scope="col">{c}</th>)}</tr></thead>
        <tbody>{rows.map(children)}</tbody>
      </table>
      {!rows.length && <p class="hint">{none ?? t('admin.none')}</p>}
    </div>
  );
}

export function Listed({ list, ...table }) {
  return (
    <Fragment>
      <Trouble problem={list.problem} />
      <Table rows={list.rows} none={list.busy ? t('admin.loading') : list.next ? t('admin.none_yet') : undefined} {...table} />
      {list.next && <button type="button" disabled={list.busy} onClick={list.more}>{t('admin.more')}</button>}
    </Fragment>
  );
}

export function Field({ name, label, hint, ...input }) {
  const id = `field-${name}`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input id={id} name={name} type="text" autocomplete="off" aria-describedby={hint ? `${id}-hint` : null} {...input} />
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}

export function Choice({ name, label, options, ...select }) {
  return (
    <div class="field">
      <label for={`field-${name}`}>{label}</label>
      <select id={`field-${name}`} name={name} {...select}>{options.map(([value, text]) => <option value={value}>{text}</option>)}</select>
    </div>
  );
}

// The values of a form that was sent.
export const valuesOf = (event) => {
  event.preventDefault();
  return new FormData(event.currentTarget);
};

// Filters as an address of the list; empty ones are left out.
export function addressOf(path, filters) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  return `${path}${query.size ? `?${query}` : ''}`;
}

// Asks before `act`. The browser keeps the focus inside and gives it back.
export function Ask({ label, question, act, ...button }) {
  const dialog = useRef(null);
  const sure = () => {
    dialog.current.close();
    act();
  };
  return (
    <Fragment>
      <button type="button" {...button} onClick={() => dialog.current.showModal()}>{label}</button>
      <dialog ref={dialog} aria-label={label}>
        <p>{question}</p>
        <div class="buttons">
          <button type="button" onClick={() => dialog.current.close()}>{t('admin.no')}</button>
          <button type="button" class="primary sure" onClick={sure}>{t('admin.yes')}</button>
        </div>
      </dialog>
    </Fragment>
  );
}
