// The choice of ops for an upload: what the server offers and can be asked for without parameters.
import { h } from 'preact';
import { t } from './text.js';

const CHOSEN_AT_FIRST = new Set(['md5']);
const chosen = new Set();
let offered = null;

export function offer(ops) {
  offered = ops.filter((op) => !op.params?.required?.length);
  for (const op of offered) if (CHOSEN_AT_FIRST.has(op.name)) chosen.add(op.name);
}

// null leaves the choice to the server: its list is not known here.
export const choice = () => (offered ? offered.map((op) => op.name).filter((name) => chosen.has(name)) : null);

function toggle(name, on) {
  if (on) chosen.add(name);
  else chosen.delete(name);
}

function Op({ op }) {
  return (
    <label class="op" title={op.description}>
      <input type="checkbox" value={op.name} defaultChecked={chosen.has(op.name)} onChange={(event) => toggle(op.name, event.currentTarget.checked)} />
      {op.name}
    </label>
  );
}

export function Ops({ failed }) {
  if (failed) return <p class="hint">{t('upload.ops_failed')}</p>;
  return <fieldset><legend>{t('upload.ops')}</legend><div class="ops">{offered.map((op) => <Op op={op} />)}</div></fieldset>;
}
