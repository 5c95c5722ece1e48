-- Schema 5: whose the bytes are that rows refer to: the id of the data directory that was the first to ask. All nodes must find the same.
CREATE TABLE store (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	id uuid NOT NULL
);
