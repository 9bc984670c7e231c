/** The tables; sql.ts says what each is for. */

/** Of the tables and functions below: who finds an older one brings it up to this. */
export const VERSION = 2

export const TABLES = `
CREATE TABLE IF NOT EXISTS br_version (version integer NOT NULL, bull integer NOT NULL);
ALTER TABLE br_version ADD COLUMN IF NOT EXISTS format integer NOT NULL DEFAULT 1;
CREATE TABLE IF NOT EXISTS br_queue (base text NOT NULL, queue text NOT NULL, PRIMARY KEY (base, queue));
CREATE TABLE IF NOT EXISTS br_paused (base text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS br_task (
  queue text NOT NULL,
  job text NOT NULL,
  seq bigserial,
  key text,
  tags text[],
  br text,
  now text,
  saved text,
  cancel text,
  died text,
  leaver text,
  alone text,
  blocked integer NOT NULL DEFAULT 0,
  end_of text,
  is_null boolean NOT NULL DEFAULT false,
  is_cancelled boolean NOT NULL DEFAULT false,
  PRIMARY KEY (queue, job),
  FOREIGN KEY (queue, job) REFERENCES job (queue, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX IF NOT EXISTS br_task_seq ON br_task (queue, seq);
CREATE UNIQUE INDEX IF NOT EXISTS br_task_key ON br_task (queue, md5(key)) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS br_task_tags ON br_task USING gin (tags) WHERE tags IS NOT NULL;
CREATE INDEX IF NOT EXISTS br_task_cancelled ON br_task (queue) WHERE is_cancelled;
CREATE TABLE IF NOT EXISTS br_after (
  parent_queue text NOT NULL,
  parent text NOT NULL,
  n bigserial,
  queue text NOT NULL,
  job text NOT NULL,
  PRIMARY KEY (parent_queue, parent, n)
);
CREATE TABLE IF NOT EXISTS br_telling (
  base text NOT NULL,
  n bigserial,
  queue text NOT NULL,
  job text NOT NULL,
  state text NOT NULL,
  PRIMARY KEY (base, n)
);
CREATE TABLE IF NOT EXISTS br_hold (
  base text NOT NULL,
  queue text NOT NULL,
  name text NOT NULL,
  until bigint NOT NULL,
  error text NOT NULL,
  probe text,
  attempt integer,
  PRIMARY KEY (base, queue)
);
CREATE TABLE IF NOT EXISTS br_schedule (base text NOT NULL, id text NOT NULL, json text NOT NULL, PRIMARY KEY (base, id));
`
