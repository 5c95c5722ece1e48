// The choice of what is done to an upload, made from what the server says of itself at /v1/ops: ops with fields for their parameters, or a
// pipeline of its configuration.
import { Fragment, h } from 'preact';
import { useState } from 'preact/hooks';
import { t } from './text.js';

const CHOSEN_AT_FIRST = new Set(['md5']);
const chosen = new Map(); // an op's name → the values of its parameters as they were typed
let pipeline = '';
let offered = null;

export function offer({ ops, pipelines = [] }) {
  offered = { ops: ops.filter(({ kind }) => kind !== 'connector'), pipelines };
  for (const op of ops) if (CHOSEN_AT_FIRST.has(op.name)) chosen.set(op.name, {});
}

// As a structured field (RFC 8941) has it: whole numbers and words bare, other text quoted.
const written = (value, schema) => (schema.type === 'string' && !schema.enum ? `"${value.replace(/["\\]/g, '\\$&')}"` : value);

function item(op) {
  const given = Object.entries(chosen.get(op.name)).filter(([, value]) => value !== '');
  return [op.name, ...given.map(([name, value]) => `${name}=${written(value, op.params.properties[name])}`)].join(';');
}

// What goes into the query; nothing leaves the choice to the server: its list is not known here.
export function choice() {
  if (!offered) return {};
  return pipeline ? { pipeline } : { ops: offered.ops.filter((op) => chosen.has(op.name)).map(item).join(', ') };
}

function Field({ schema, ...field }) {
  if (!schema.enum) {
    const number = schema.type === 'integer';
    return <input type={number ? 'number' : 'text'} min={schema.minimum} max={schema.maximum} maxlength={schema.maxLength} placeholder={schema.default} {...field} />;
  }
  return <select {...field}>{['', ...schema.enum].map((word) => <option value={word}>{word || (schema.default ? t('ops.default', { value: schema.default }) : t('ops.unset'))}</option>)}</select>;
}

function Params({ op, changed }) {
  const values = chosen.get(op.name);
  const { properties, required = [], anyOf = [] } = op.params;
  const oneNeeded = anyOf.flatMap((one) => one.required);
  const lacking = oneNeeded.length > 0 && oneNeeded.every((name) => !values[name]);
  const set = (name, value) => { values[name] = value; changed(); };
  const field = ([name, schema]) => {
    const id = `${op.name}-${name}`;
    return (
      <div class="param">
        <label for={id}>{name}</label>
        <Field schema={schema} id={id} value={values[name] ?? ''} required={required.includes(name) || (lacking && oneNeeded.includes(name))}
          aria-describedby={`${id}-hint`} onInput={(event) => set(name, event.currentTarget.value)} />
        <p class="hint" id={`${id}-hint`}>{schema.description}</p>
      </div>
    );
  };
  return <fieldset class="params"><legend>{t('ops.params', { op: op.name })}</legend>{Object.entries(properties).map(field)}</fieldset>;
}

function Choice({ changed }) {
  const toggle = (name, on) => {
    if (on) chosen.set(name, {});
    else chosen.delete(name);
    changed();
  };
  const box = (op) => (
    <label class="op" title={op.description}>
      <input type="checkbox" value={op.name} checked={chosen.has(op.name)} onChange={(event) => toggle(op.name, event.currentTarget.checked)} />
      {op.name}
    </label>
  );
  const open = offered.ops.filter((op) => chosen.has(op.name) && Object.keys(op.params.properties).length);
  return (
    <Fragment>
      <fieldset><legend>{t('upload.ops')}</legend><div class="ops">{offered.ops.map(box)}</div></fieldset>
      {open.map((op) => <Params key={op.name} op={op} changed={changed} />)}
    </Fragment>
  );
}

export function Ops({ failed }) {
  const [, draw] = useState(0);
  const changed = () => draw((n) => n + 1);
  if (failed) return <p class="hint">{t('upload.ops_failed')}</p>;
  const named = offered.pipelines.find(({ name }) => name === pipeline);
  return (
    <Fragment>
      {offered.pipelines.length > 0 && (
        <div class="param">
          <label for="pipeline">{t('ops.pipeline')}</label>
          <select id="pipeline" value={pipeline} onChange={(event) => { pipeline = event.currentTarget.value; changed(); }}>
            <option value="">{t('ops.no_pipeline')}</option>
            {offered.pipelines.map(({ name }) => <option value={name}>{name}</option>)}
          </select>
        </div>
      )}
      {named ? <p class="hint"><code>{named.ops}</code></p> : <Choice changed={changed} />}
    </Fragment>
  );
}
