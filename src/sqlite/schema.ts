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
