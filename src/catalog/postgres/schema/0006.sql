-- Schema 6: where a node lives: the id of its data directory. Whoever uses that alone knows that those who lived there before are dead.
ALTER TABLE worker ADD COLUMN home uuid;
