// Numbers, sizes and times as people read them.
import { t } from './text.js';

const lang = document.documentElement.lang;
const whole = new Intl.NumberFormat(lang);
const share = new Intl.NumberFormat(lang, { style: 'percent' });
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const plural = new Intl.PluralRules(lang);
const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'];

const inUnit = UNITS.map((unit) => new Intl.NumberFormat(lang, { style: 'unit', unit, unitDisplay: 'short', maximumSignificantDigits: 3 }));

export const number = (n) => whole.format(n);
export const percent = (part) => share.format(part);
export const time = (iso) => clock.format(new Date(iso));

export function bytes(n) {
  const power = Math.min(UNITS.length - 1, n < 1 ? 0 : Math.floor(Math.log10(n) / 3));
  return inUnit[power].format(n / 1000 ** power);
}

export function exactBytes(n) {
  const exact = t(`bytes.exact.${plural.select(n) === 'one' ? 'one' : 'other'}`, { n: number(n) });
  return n < 1000 ? exact : t('bytes.both', { short: bytes(n), exact });
}
