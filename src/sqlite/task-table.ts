/**
 * The table `tasks` and what hangs on it: each way in which a row is read, written, moved and removed, with the counts and
 * tags that follow it. Everything that writes is called within a group's transaction.
 */
import type { NewTask } from '../engine.js'
import { bornAs, dueAt, isSuspect } from '../lifecycle.js'
import type { TaskState } from '../record.js'
import type { Database, Row, Statement, Value } from './driver.js'
import { Feed } from './feed.js'
import { Names } from './names.js'
import { extrasText, type SqliteTask, stateNumber, text, toTask } from './rows.js'
import { Tally } from './tally.js'

/** An input of more characters has a row of its own; in its place stands what is no JSON. */
const LARGE = 1_000
const APART = ''
const QUEUED = 0
const RUNNING = 2

export class TaskTable {
  readonly names: Names
  readonly tally: Tally
  readonly feed: Feed
  readonly #statement: (sql: string) => Statement

  constructor(database: Database) {
    this.names = new Names(database)
    this.tally = new Tally(database)
    this.feed = new Feed(database)
    const prepared = new Map<string, Statement>()
    this.#statement = (sql) => {
      let statement = prepared.get(sql)
      if (statement === undefined) {
        statement = database.prepare(sql)
        prepared.set(sql, statement)
      }
      return statement
    }
  }

  /** What is kept in memory, read again if another connection has written; says whether one has. */
  refresh(): boolean {
    return this.tally.refresh(() => this.names.refresh())
  }

  /** A transaction came to nothing, and what was kept in memory of it. */
  forget(): void {
    this.tally.forget()
    this.feed.forget()
  }

  // Reading.

  bySeq(seq: number): SqliteTask | undefined {
    return this.#task(this.#statement('SELECT * FROM tasks WHERE seq = ?').get(seq))
  }

  byId(id: string): SqliteTask | undefined {
    return this.#task(this.#statement('SELECT * FROM tasks WHERE id = ?').get(id))
  }

  byKey(name: string, key: string): SqliteTask | undefined {
    const number = this.names.number(name)
    if (number === undefined) return undefined
    return this.#task(this.#statement('SELECT * FROM tasks WHERE name = ? AND key = ?').get(number, key))
  }

  /** Waiting tasks of a name, the best one first. @param suspects those that must run alone, or all others */
  best(name: string, suspects: boolean): SqliteTask | undefined {
    const number = this.names.number(name)
    if (number === undefined || this.tally.of(number, 'queued') === 0) return undefined
    const index = suspects ? 'tasks_suspect' : 'tasks_ready'
    const row = this.#statement(
      `SELECT * FROM tasks INDEXED BY ${index} WHERE state = ${QUEUED} AND suspect = ${suspects ? 1 : 0} AND name = ?
       ORDER BY priority DESC, run_at, seq LIMIT 1`,
    ).get(number)
    return this.#task(row)
  }

  /** How many tasks of these names are queued. */
  waiting(names: readonly string[]): number {
    let waiting = 0
    for (const name of names) {
      const number = this.names.number(name)
      if (number !== undefined) waiting += this.tally.of(number, 'queued')
    }
    return waiting
  }

  /** Scheduled tasks that are due. */
  due(now: number, limit: number): SqliteTask[] {
    return this.#tasks(
      this.#statement(
        'SELECT * FROM tasks INDEXED BY tasks_due WHERE state = 1 AND run_at <= ? ORDER BY run_at, seq LIMIT ?',
      ).all(now, limit),
    )
  }

  /** What a worker was running. */
  runningOf(worker: number): SqliteTask[] {
    return [...this.names.numbers].flatMap((name) =>
      this.#tasks(
        this.#statement(
          `SELECT * FROM tasks INDEXED BY tasks_list WHERE name = ? AND state = ${RUNNING} AND worker = ?`,
        ).all(name, worker),
      ),
    )
  }

  /** Finished tasks in a state, the one that ended first first. */
  finished(state: TaskState, until: number, limit: number): SqliteTask[] {
    return this.#tasks(
      this.#statement(
        `SELECT * FROM tasks INDEXED BY tasks_finished WHERE state = ? AND state >= 3 AND finished_at <= ?
         ORDER BY finished_at, seq LIMIT ?`,
      ).all(stateNumber(state), until, limit),
    )
  }

  // Writing.

  insert(from: NewTask, now: number): SqliteTask {
    const { id, name, priority, maxAttempts, extras } = from
    const number = this.names.make(name)
    const runAt = dueAt(from, now)
    const state = bornAs(runAt, now)
    const input = text(from.input)
    const large = input !== null && input.length > LARGE
    const seq = this.#statement(
      `INSERT INTO tasks (id, name, key, state, priority, run_at, max_attempts, created_at, input, extras)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ).run(
      id,
      number,
      extras?.key ?? null,
      stateNumber(state),
      priority,
      runAt,
      maxAttempts,
      now,
      large ? APART : input,
      extrasText(extras),
    ).inserted
    if (large) this.#statement('INSERT INTO inputs (seq, input) VALUES (?, ?)').run(seq, input)
    const task: SqliteTask = {
      seq,
      id,
      name,
      state,
      input: from.input,
      output: undefined,
      error: undefined,
      attempt: 0,
      maxAttempts,
      priority,
      createdAt: now,
      runAt,
      startedAt: 0,
      finishedAt: 0,
      worker: null,
      extras,
    }
    for (const tag of extras?.tags ?? [])
      this.#statement('INSERT OR IGNORE INTO tags (tag, name, state, seq) VALUES (?, ?, ?, ?)').run(
        tag,
        number,
        stateNumber(state),
        seq,
      )
    this.tally.count(number, state, 1)
    this.feed.add(id)
    if (state === 'scheduled') this.tally.schedules(runAt)
    return task
  }

  /** A worker takes it. */
  claim(task: SqliteTask): void {
    this.#statement(
      `UPDATE tasks SET state = ${RUNNING}, attempt = ?, started_at = ?, error = NULL, worker = ? WHERE seq = ?`,
    ).run(task.attempt, task.startedAt, task.worker, task.seq)
    this.#moved(task, 'queued')
  }

  /**
   * Writes what became of an attempt, provided that it is still this worker's and that no cancel has come in between.
   *
   * @param before the task as this worker knew it
   */
  settle(task: SqliteTask, before: SqliteTask): boolean {
    const { changes } = this.#statement(
      `UPDATE tasks SET state = ?, run_at = ?, max_attempts = ?, finished_at = ?, output = ?, error = ?, extras = ?,
         suspect = 0, worker = NULL
       WHERE seq = ? AND state = ${RUNNING} AND worker = ? AND attempt = ? AND cancel_requested_at IS ?`,
    ).run(
      stateNumber(task.state),
      task.runAt,
      task.maxAttempts,
      task.finishedAt,
      text(task.output),
      text(task.error),
      extrasText(task.extras),
      task.seq,
      before.worker,
      before.attempt,
      before.extras?.cancelRequestedAt ?? null,
    )
    if (changes === 0) return false
    this.#moved(task, 'running')
    return true
  }

  /** Writes all of it: for what happens seldom. @param from the state that it was in */
  write(task: SqliteTask, from: TaskState): void {
    const { extras } = task
    if (isSuspect(task)) this.tally.suspects = true
    this.#statement(
      `UPDATE tasks SET state = ?, priority = ?, run_at = ?, attempt = ?, max_attempts = ?, started_at = ?, finished_at = ?,
         worker = ?, suspect = ?, cancel_requested_at = ?, cancel_reason = ?, cancel_force = ?, output = ?, error = ?,
         progress = ?, saved = ?, extras = ?
       WHERE seq = ?`,
    ).run(
      stateNumber(task.state),
      task.priority,
      task.runAt,
      task.attempt,
      task.maxAttempts,
      task.startedAt,
      task.finishedAt,
      task.state === 'running' ? task.worker : null,
      isSuspect(task) ? 1 : 0,
      extras?.cancelRequestedAt ?? null,
      text(extras?.cancelReason),
      extras?.cancelForce === true ? 1 : null,
      text(task.output),
      text(task.error),
      text(extras?.progress),
      text(extras?.saved),
      extrasText(extras),
      task.seq,
    )
    if (task.state === from) this.feed.add(task.id)
    else this.#moved(task, from)
  }

  /** Writes one column of a task, provided that its attempt is still this worker's. */
  put(task: SqliteTask, column: 'progress' | 'saved', json: string): void {
    this.#statement(
      `UPDATE tasks SET ${column} = ? WHERE seq = ? AND state = ${RUNNING} AND worker = ? AND attempt = ?`,
    ).run(json, task.seq, task.worker, task.attempt)
    this.feed.add(task.id)
  }

  remove(task: SqliteTask): void {
    const number = this.names.number(task.name) as number
    this.#statement('DELETE FROM tasks WHERE seq = ?').run(task.seq)
    this.#statement('DELETE FROM inputs WHERE seq = ?').run(task.seq)
    for (const tag of task.extras?.tags ?? [])
      this.#statement('DELETE FROM tags WHERE tag = ? AND name = ? AND state = ? AND seq = ?').run(
        tag,
        number,
        stateNumber(task.state),
        task.seq,
      )
    this.tally.count(number, task.state, -1)
    this.feed.add(task.id)
  }

  setPaused(paused: boolean): void {
    this.#statement("UPDATE meta SET value = ? WHERE key = 'paused'").run(paused ? 1 : 0)
    this.tally.paused = paused
  }

  #moved(task: SqliteTask, from: TaskState): void {
    const number = this.names.number(task.name) as number
    this.tally.count(number, from, -1)
    this.tally.count(number, task.state, 1)
    this.feed.add(task.id)
    if (from === 'scheduled') this.tally.unschedules()
    if (task.state === 'scheduled') this.tally.schedules(task.runAt)
    for (const tag of task.extras?.tags ?? [])
      this.#statement('UPDATE tags SET state = ? WHERE tag = ? AND name = ? AND state = ? AND seq = ?').run(
        stateNumber(task.state),
        tag,
        number,
        stateNumber(from),
        task.seq,
      )
  }

  // Pages.

  /** seqs below `before` in one range, greatest first. */
  range(name: number, state: number, before: number, limit: number, tag: string | undefined): number[] {
    const [table, where, values]: [string, string, Value[]] =
      tag === undefined ? ['tasks INDEXED BY tasks_list', '', []] : ['tags', 'tag = ? AND ', [tag]]
    return this.#statement(
      `SELECT seq FROM ${table} WHERE ${where}name = ? AND state = ? AND seq < ? ORDER BY seq DESC LIMIT ?`,
    )
      .all(...values, name, state, before, limit)
      .map((row) => row['seq'] as number)
  }

  /** Any task before `before`, greatest first. */
  latest(before: number, limit: number): SqliteTask[] {
    return this.#tasks(
      this.#statement('SELECT * FROM tasks WHERE seq < ? ORDER BY seq DESC LIMIT ?').all(before, limit),
    )
  }

  #tasks(rows: readonly Row[]): SqliteTask[] {
    return rows.map((row) => this.#task(row) as SqliteTask)
  }

  #task(row: Row | undefined): SqliteTask | undefined {
    if (row === undefined) return undefined
    const input =
      row['input'] === APART
        ? (this.#statement('SELECT input FROM inputs WHERE seq = ?').get(row['seq'] as number)?.['input'] ?? null)
        : (row['input'] as string | null)
    return toTask(row, this.names.name(row['name'] as number), input)
  }
}
