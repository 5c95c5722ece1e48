// The words of these pages, beside those that every page has.
import texts from '../../en.json?admin';
import { learn } from '../text.js';

learn(texts);
