/**
 * The file: its tables, and how a program meets a file of another version.
 *
 * `user_version` is the number of the schema, `readable_from` the least number whose programs may still read and write
 * it. Migrations only add; what is derived (counts, tags) is written by every program that writes tasks, so a migration
 * that adds something derived raises `readable_from`, or keeps it by a trigger.
 */
import type { Database } from './driver.js'
import { UnusableFileError } from './fault.js'

/** 'BgRn': tells our files from others. */
export const APPLICATION_ID = 0x4267526e

/** From each version to the next; a file that is new starts before the first. */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
  INSERT INTO meta VALUES ('readable_from', 1), ('paused', 0);

  -- The names of tasks, so that a row and its indexes hold a small number.
  CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

  -- Every runner that has the file open. boot, pid and pid_started tell whether its process is still there; beat rises
  -- while it lives; seen: how far it has read the feed. closed: 1 it was closed while handlers of its still ran.
  CREATE TABLE workers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot TEXT,
    pid INTEGER NOT NULL,
    pid_started TEXT,
    lease INTEGER NOT NULL,
    beat INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0,
    seen INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  -- What each commit has changed, as a JSON array of ids, while several processes have the file open.
  CREATE TABLE feed (n INTEGER PRIMARY KEY AUTOINCREMENT, worker INTEGER NOT NULL, ids TEXT NOT NULL) STRICT;

  -- seq is the order of submission; it is never used twice, or a cursor would skip. Times are epoch ms.
  -- state: 0 queued, 1 scheduled, 2 running, 3 succeeded, 4 failed, 5 cancelled. Objects are JSON text.
  CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name INTEGER NOT NULL,
    key TEXT,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL DEFAULT 0,
    finished_at INTEGER NOT NULL DEFAULT 0,
    worker INTEGER,
    suspect INTEGER NOT NULL DEFAULT 0,
    cancel_requested_at INTEGER,
    cancel_reason TEXT,
    cancel_force INTEGER,
    input TEXT,
    output TEXT,
    error TEXT,
    progress TEXT,
    saved TEXT,
    extras TEXT
  ) STRICT;
  CREATE UNIQUE INDEX tasks_key ON tasks (name, key) WHERE key IS NOT NULL;
  CREATE INDEX tasks_ready ON tasks (name, priority DESC, run_at, seq) WHERE state = 0 AND suspect = 0;
  CREATE INDEX tasks_suspect ON tasks (name, priority DESC, run_at, seq) WHERE state = 0 AND suspect = 1;
  CREATE INDEX tasks_due ON tasks (run_at, seq) WHERE state = 1;
  CREATE INDEX tasks_finished ON tasks (state, finished_at, seq) WHERE state >= 3;
  CREATE INDEX tasks_list ON tasks (name, state, seq);

  -- An input of more than a page, which would be written again with each change of its task.
  CREATE TABLE inputs (seq INTEGER PRIMARY KEY, input TEXT NOT NULL) STRICT;
  -- For list: a task under each of its tags.
  CREATE TABLE tags (tag TEXT, name INTEGER, state INTEGER, seq INTEGER, PRIMARY KEY (tag, name, state, seq)) STRICT, WITHOUT ROWID;
  CREATE TABLE counts (name INTEGER, state INTEGER, n INTEGER NOT NULL, PRIMARY KEY (name, state)) STRICT, WITHOUT ROWID;
  `,
  // Older programs may go on: they start what is held, and nothing else comes of it.
  `
  -- Names of which nothing starts before until (epoch ms), and then one attempt as a probe: the latest that has begun.
  CREATE TABLE holds (
    name INTEGER PRIMARY KEY,
    until INTEGER NOT NULL,
    error TEXT NOT NULL,
    probe INTEGER,
    probe_attempt INTEGER
  ) STRICT;
  `,
  // Older programs would start what is under limits.
  `
  UPDATE meta SET value = 3 WHERE key = 'readable_from';
  -- The names of tasks that it works on, as a JSON array; NULL: it only submits.
  ALTER TABLE workers ADD COLUMN names TEXT;
  -- Where a task under limits waits or runs; NULL: it is under none.
  ALTER TABLE tasks ADD COLUMN lane INTEGER;
  -- How many tasks have to end before it, and which.
  ALTER TABLE tasks ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE parents (parent INTEGER NOT NULL, child INTEGER NOT NULL, PRIMARY KEY (parent, child)) STRICT, WITHOUT ROWID;
  CREATE INDEX parents_child ON parents (child);
  DROP INDEX tasks_ready;
  CREATE INDEX tasks_ready ON tasks (name, priority DESC, run_at, seq) WHERE state = 0 AND suspect = 0 AND lane IS NULL AND blocked = 0;
  CREATE INDEX tasks_lane ON tasks (lane, priority DESC, run_at, seq) WHERE state = 0 AND suspect = 0 AND lane IS NOT NULL;
  CREATE INDEX tasks_lane_kept ON tasks (lane, state) WHERE lane IS NOT NULL AND (state = 2 OR (state = 0 AND suspect = 1));

  -- What waits or runs of one name with the same keys and needs of the same resources (names as a JSON array). priority,
  -- run_at and first (a seq) are of its first task; turn: when it went last. parked: 0 it is open, or it is kept by the
  -- gate of 1 its slot, 2 its rate. An id is never used twice, since tasks that have run keep theirs.
  CREATE TABLE lanes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name INTEGER NOT NULL,
    slot TEXT,
    rate TEXT,
    resources TEXT NOT NULL,
    priority INTEGER,
    run_at INTEGER,
    first INTEGER,
    turn INTEGER NOT NULL,
    parked INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX lanes_key ON lanes (name, resources, slot, rate);
  CREATE INDEX lanes_open ON lanes (name, resources, priority DESC, turn, run_at, first) WHERE parked = 0 AND priority IS NOT NULL;
  CREATE INDEX lanes_at_slot ON lanes (name, slot, resources, priority DESC, turn, run_at, first) WHERE parked = 1;
  CREATE INDEX lanes_at_rate ON lanes (name, rate, resources, priority DESC, turn, run_at, first) WHERE parked = 2;
  -- The turn that was last.
  INSERT INTO meta VALUES ('turn', 0);
  -- The calls that a rate limit counts, for how long (ms), and until when (epoch ms); 2^53 - 1: the handler is about to be
  -- called.
  CREATE TABLE calls (
    seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    name INTEGER NOT NULL,
    rate TEXT NOT NULL,
    interval INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (seq, attempt)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX calls_rate ON calls (name, rate);
  CREATE INDEX calls_until ON calls (until);

  -- What and when as JSON; next and last are occurrences, epoch ms; last_task: the id of the task that last submitted.
  CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    next INTEGER NOT NULL,
    last INTEGER,
    last_task TEXT
  ) STRICT, WITHOUT ROWID;
  `,
]

export const VERSION: number = MIGRATIONS.length

/** Makes the file one of ours, or brings it up to this version. Within a write transaction. @throws {EngineError} */
export function migrate(database: Database, path: string): void {
  refuseForeign(database, path)
  const empty = isEmpty(database)
  const version = empty ? 0 : pragma(database, 'user_version')
  refuseTooNew(database, path, version)
  for (const step of MIGRATIONS.slice(version)) database.exec(step)
  if (empty) database.exec(`PRAGMA application_id = ${APPLICATION_ID}`)
  if (version < VERSION) database.exec(`PRAGMA user_version = ${VERSION}`)
}

/** @param hasMore what it holds may stand elsewhere. @throws {EngineError} it is the file of another application */
export function refuseForeign(database: Database, path: string, hasMore: boolean = false): void {
  if (pragma(database, 'application_id') === APPLICATION_ID || (isEmpty(database) && !hasMore)) return
  throw new UnusableFileError(
    `${path} is the database of another application, and was left as it is; choose another path`,
  )
}

function refuseTooNew(database: Database, path: string, version: number): void {
  if (version <= VERSION) return
  const readableFrom = database.prepare("SELECT value FROM meta WHERE key = 'readable_from'").get()?.['value']
  if (Number(readableFrom) <= VERSION) return
  throw new UnusableFileError(
    `${path} was written by a newer version of background-runner (schema ${version}, this one knows ${VERSION}), and was left as it is; update this one`,
  )
}

function isEmpty(database: Database): boolean {
  return database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n'] === 0
}

function pragma(database: Database, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name])
}
