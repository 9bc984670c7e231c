/**
 * Rows of `tasks` that are written together: new ones, claims, and successes, which is all that most tasks ever are.
 *
 * To call the driver costs more than what a statement does to a row, so what one group does to many tasks is gathered, and
 * written by one statement for many rows as long as these differ in no more than the statement takes for each: at the
 * latest before the commit, and before any other statement on the table. So whoever reads through `database` finds
 * everything as if it had been written at once.
 */
import type { Database, Statement } from './driver.js'
import { type SqliteTask, stateNumber } from './rows.js'

/** Rows, and characters, that one statement writes at most: a group looks at its clock only between two asks. */
const MOST_ROWS = 250
const MOST_TEXT = 100_000

/** A task that is new, and what its row has as texts or numbers. */
export interface NewRow {
  readonly task: SqliteTask
  readonly name: number
  readonly input: string | null
  readonly extras: string | null
}

export interface Success {
  /** As it is now. */
  readonly task: SqliteTask
  /** As this worker knew it. */
  readonly before: SqliteTask
  readonly output: string | null
  /** Told when it is written, or refused: the attempt was no longer this worker's, or a cancel had come in between. */
  readonly told: (isWritten: boolean) => void
}

export class RowBatch {
  /** The database, as whoever reads what is gathered here must see it. */
  readonly database: Database
  readonly #inserts: Gathered<NewRow>
  readonly #claims: Gathered<SqliteTask>
  readonly #successes: Gathered<Success>

  constructor(database: Database) {
    this.#inserts = new Gathered(inserting(database))
    this.#claims = new Gathered(claiming(database))
    this.#successes = new Gathered(succeeding(database))
    this.database = {
      ...database,
      exec: (sql) => {
        this.flush()
        database.exec(sql)
      },
      prepare: (sql) => (/\btasks\b/.test(sql) ? this.#after(database.prepare(sql)) : database.prepare(sql)),
    }
  }

  #after(statement: Statement): Statement {
    const flush = (): void => this.flush()
    return {
      run: (...values) => {
        flush()
        return statement.run(...values)
      },
      get: (...values) => {
        flush()
        return statement.get(...values)
      },
      all: (...values) => {
        flush()
        return statement.all(...values)
      },
    }
  }

  /** Of those that are inserted one after the other each has the seq that follows. */
  insert(row: NewRow): void {
    this.#inserts.add(row, (row.input?.length ?? 0) + (row.extras?.length ?? 0))
  }

  /** @param task that was read as waiting in the same transaction */
  claim(task: SqliteTask): void {
    this.#claims.add(task, 0)
  }

  succeed(success: Success): void {
    this.#successes.add(success, success.output?.length ?? 0)
  }

  flush(): void {
    this.flushWaiting()
    this.flushEnded()
  }

  /** What changes which tasks wait. */
  flushWaiting(): void {
    this.flushNew()
    this.#claims.flush()
  }

  flushNew(): void {
    this.#inserts.flush()
  }

  flushEnded(): void {
    this.#successes.flush()
  }

  /** The transaction came to nothing. */
  forget(): void {
    this.#inserts.forget()
    this.#claims.forget()
    this.#successes.forget()
  }
}

/** How rows of one kind are written. */
interface Writer<Row> {
  /** Whether they can be written by one statement. */
  areAlike(a: Row, b: Row): boolean
  write(rows: readonly Row[], first: Row): void
}

/** Rows of one kind that one statement can write. */
class Gathered<Row> {
  readonly #writer: Writer<Row>
  #rows: Row[] = []
  #text = 0

  constructor(writer: Writer<Row>) {
    this.#writer = writer
  }

  /** @param text how many characters of it are to be written */
  add(row: Row, text: number): void {
    const first = this.#rows[0]
    const isFull = this.#rows.length === MOST_ROWS || this.#text + text > MOST_TEXT
    if (first !== undefined && (isFull || !this.#writer.areAlike(first, row))) this.flush()
    this.#rows.push(row)
    this.#text += text
  }

  flush(): void {
    const rows = this.#rows
    const first = rows[0]
    if (first === undefined) return
    this.forget() // or who is told of what was written, and reads, would have it written again
    this.#writer.write(rows, first)
  }

  forget(): void {
    this.#rows = []
    this.#text = 0
  }
}

// Each statement has its rows as one JSON text: SQLite takes that apart faster than any driver binds as many values.

function inserting(database: Database): Writer<NewRow> {
  const insert = (own: string): Statement =>
    database.prepare(
      `INSERT INTO tasks (seq, id, name, state, priority, run_at, max_attempts, created_at, blocked, input, extras, key, lane)
       SELECT ? + key, value ->> 0, ?, ?, ?, ?, ?, ?, ?, value ->> 1, ${own} FROM json_each(?)`,
    )
  const plain = insert('NULL, NULL, NULL')
  const full = insert('value ->> 2, value ->> 3, value ->> 4')
  return {
    areAlike: ({ task: a, name }, { task: b, name: other }) =>
      name === other &&
      a.state === b.state &&
      a.priority === b.priority &&
      a.runAt === b.runAt &&
      a.maxAttempts === b.maxAttempts &&
      a.createdAt === b.createdAt &&
      a.blocked === b.blocked &&
      (a.extras === undefined) === (b.extras === undefined),
    write: (rows, { task, name }) => {
      const { seq, state, priority, runAt, maxAttempts, createdAt, blocked, extras } = task
      const own =
        extras === undefined
          ? rows.map(({ task, input }) => [task.id, input])
          : rows.map(({ task, input, extras }) => [task.id, input, extras, task.extras?.key ?? null, task.lane])
      const statement = extras === undefined ? plain : full
      const alike = [name, stateNumber(state), priority, runAt, maxAttempts, createdAt, blocked]
      statement.run(seq, ...alike, JSON.stringify(own))
    },
  }
}

function claiming(database: Database): Writer<SqliteTask> {
  const claim = database.prepare(
    `UPDATE tasks SET state = 2, attempt = attempt + 1, started_at = ?, worker = ?, error = NULL
     WHERE seq IN (SELECT value FROM json_each(?))`,
  )
  return {
    areAlike: (a, b) => a.startedAt === b.startedAt && a.worker === b.worker,
    write: (tasks, { startedAt, worker }) =>
      void claim.run(startedAt, worker, JSON.stringify(tasks.map(({ seq }) => seq))),
  }
}

function succeeding(database: Database): Writer<Success> {
  const succeed = database.prepare(
    `UPDATE tasks SET state = 3, finished_at = ?, worker = NULL, output = own.value FROM json_each(?) AS own
     WHERE seq = own.key AND state = 2 AND worker = ? AND attempt = ? AND cancel_requested_at IS NULL`,
  )
  // Under limits each is written by itself: that takes a fourth less.
  const succeedAlone = database.prepare(
    `UPDATE tasks SET state = 3, finished_at = ?, worker = NULL, output = ?
     WHERE seq = ? AND state = 2 AND worker = ? AND attempt = ? AND cancel_requested_at IS NULL`,
  )
  const isWritten = database.prepare('SELECT 1 FROM tasks WHERE seq = ? AND state = 3 AND attempt = ?')
  return {
    areAlike: ({ task: a, before: ofA }, { task: b, before: ofB }) =>
      a.finishedAt === b.finishedAt && a.attempt === b.attempt && ofA.worker === ofB.worker,
    write: (successes, { task, before, output, told }) => {
      if (successes.length === 1) {
        const { finishedAt, seq, attempt } = task
        return told(succeedAlone.run(finishedAt, output, seq, before.worker, attempt).changes === 1)
      }
      const outputs: Record<number, string | null> = {}
      for (const { task, output } of successes) outputs[task.seq] = output
      const { changes } = succeed.run(task.finishedAt, JSON.stringify(outputs), before.worker, task.attempt)
      // An attempt has one end: where its task has succeeded by this attempt, that was written here.
      for (const { task, told } of successes)
        told(changes === successes.length || isWritten.get(task.seq, task.attempt) !== undefined)
    },
  }
}
