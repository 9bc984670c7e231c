/**
 * The table `tasks` and what hangs on it: each way in which a row is read, written, moved and removed, with the counts and
 * tags that follow it. Everything that writes is called within a group's transaction.
 */
import type { NewTask } from '../engine.js'
import { bornAs, dueAt, hasEnded, isSuspect } from '../lifecycle.js'
import { isLimited } from '../limits.js'
import { afterEnd } from '../local/parents.js'
import type { TaskExtras, TaskState } from '../record.js'
import type { Database, Row, Statement, Value } from './driver.js'
import { Families, type FamilyHost } from './families.js'
import { Feed } from './feed.js'
import { HoldTable } from './hold-table.js'
import { comesBefore, type LaneSettings, LaneTable, type Place } from './lane-table.js'
import { Names } from './names.js'
import { RowBatch } from './row-batch.js'
import {
  extrasText,
  INPUT,
  NAME,
  SEQ,
  type SqliteTask,
  stateNumber,
  text,
  toTask,
  toWaitingTask,
  type WaitingRow,
  waitingRows,
} from './rows.js'
import { Tally } from './tally.js'

/** An input of more characters has a row of its own; in its place stands what is no JSON. */
const LARGE = 1_000
const APART = ''
const NOBODY: readonly SqliteTask[] = []
const QUEUED = 0
const RUNNING = 2

export class TaskTable {
  readonly names: Names
  readonly tally: Tally
  readonly feed: Feed
  readonly holds: HoldTable
  readonly lanes: LaneTable
  readonly families: Families
  /** Each statement by its text; those that run for each task are at hand, since the text costs as much as a column. */
  readonly #statement: (sql: string) => Statement
  readonly #ready: (name: number, limit: number) => WaitingRow[]
  readonly #waiting: (seq: number) => WaitingRow[]
  readonly #afterPlace: Statement
  readonly #lastSeq: Statement
  readonly #batch: RowBatch
  /** The seq that was given last, by whomever; undefined: it is read when it is needed. */
  #last: number | undefined
  /** Waiting tasks of a name, read ahead for the claims of one group; the best one last. */
  readonly #ahead: Map<number, SqliteTask[]> = new Map()
  /** Names of which no more wait than were read ahead. */
  readonly #allRead: Set<number> = new Set()
  /** Claims of this group so far, and of the one before: so many are read ahead. */
  #claims = 0
  #claimsBefore = 1

  constructor(bare: Database, limits: LaneSettings, host: FamilyHost = { ended: () => {}, freed: () => {} }) {
    this.#batch = new RowBatch(bare)
    const { database } = this.#batch
    this.names = new Names(database)
    this.tally = new Tally(database)
    this.feed = new Feed(database)
    this.holds = new HoldTable(database, this.names)
    this.lanes = new LaneTable(database, this.names, limits, {
      read: (seq) => this.#waitingTask(seq),
      next: (lane, place) => this.#nextOfLane(lane, place),
    })
    const prepared = new Map<string, Statement>()
    this.#statement = (sql) => {
      let statement = prepared.get(sql)
      if (statement === undefined) {
        statement = database.prepare(sql)
        prepared.set(sql, statement)
      }
      return statement
    }
    this.families = new Families(this.#statement, this, host)
    this.#waiting = waitingRows(bare, 'tasks WHERE seq = ?')
    this.#ready = waitingRows(
      bare,
      `tasks INDEXED BY tasks_ready WHERE state = ${QUEUED} AND suspect = 0 AND lane IS NULL AND blocked = 0 AND name = ?
       ORDER BY priority DESC, run_at, seq LIMIT ?`,
    )
    this.#afterPlace = bare.prepare(
      `SELECT priority, run_at, seq FROM tasks INDEXED BY tasks_lane WHERE lane = ? AND state = ${QUEUED} AND suspect = 0
         AND priority <= ? AND (priority < ? OR (run_at, seq) > (?, ?))
       ORDER BY priority DESC, run_at, seq LIMIT 1`,
    )
    this.#lastSeq = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'tasks'")
  }

  /** What is kept in memory, read again if another connection has written; says whether one has. */
  refresh(): boolean {
    const isNews = this.tally.refresh(() => {
      this.names.refresh()
      this.holds.refresh()
      this.lanes.forget()
    })
    if (!isNews) return false
    this.#last = undefined
    this.lanes.refresh(this.tally.turn)
    this.families.refresh(this.tally.untold)
    return true
  }

  /** A transaction came to nothing, and what was kept in memory of it. */
  forget(): void {
    this.#batch.forget()
    this.tally.forget()
    this.feed.forget()
    this.lanes.undo()
    this.families.forget()
    this.#forgetAhead()
    this.#claims = 0
  }

  /** Writes what was counted, within the group's transaction. */
  beforeCommit(): void {
    this.flush()
    this.tally.write()
    this.lanes.beforeCommit()
    this.families.beforeCommit()
    this.#forgetAhead()
    this.#claimsBefore = Math.max(1, this.#claims)
    this.#claims = 0
  }

  /** Writes what was gathered; what of it is refused is told. */
  flush(): void {
    this.#batch.flush()
  }

  // Reading.

  bySeq(seq: number): SqliteTask | undefined {
    return this.#task(this.#statement('SELECT * FROM tasks WHERE seq = ?').get(seq))
  }

  /** One that is queued, and no suspect. */
  #waitingTask(seq: number): SqliteTask | undefined {
    this.#batch.flushNew()
    const [row] = this.#waiting(seq)
    return row && this.#waitingTaskOf(row)
  }

  /** The task that comes after this place in its lane; what stands before may have been claimed in this group. */
  #nextOfLane(lane: number, { priority, runAt, seq }: Place): Place | undefined {
    this.#batch.flushNew()
    const row = this.#afterPlace.get(lane, priority, priority, runAt, seq)
    return row && { priority: row['priority'] as number, runAt: row['run_at'] as number, seq: row['seq'] as number }
  }

  #waitingTaskOf(row: WaitingRow): SqliteTask {
    return toWaitingTask(row, this.names.name(row[NAME]), this.#input(row[SEQ], row[INPUT]))
  }

  byId(id: string): SqliteTask | undefined {
    return this.#task(this.#statement('SELECT * FROM tasks WHERE id = ?').get(id))
  }

  byKey(name: string, key: string): SqliteTask | undefined {
    const number = this.names.number(name)
    if (number === undefined) return undefined
    return this.#task(this.#statement('SELECT * FROM tasks WHERE name = ? AND key = ?').get(number, key))
  }

  /** The best waiting task of a name; within a group. @param suspect among those that must run alone, or all others */
  best(name: string, suspect: boolean): SqliteTask | undefined {
    const number = this.names.number(name)
    if (number === undefined || this.tally.of(number, 'queued') === 0) return undefined
    if (!suspect) return this.#nextReady(number)
    const row = this.#statement(
      `SELECT * FROM tasks INDEXED BY tasks_suspect WHERE state = ${QUEUED} AND suspect = 1 AND name = ?
       ORDER BY priority DESC, run_at, seq LIMIT 1`,
    ).get(number)
    return this.#task(row)
  }

  #nextReady(number: number): SqliteTask | undefined {
    const next = this.#ahead.get(number)?.at(-1)
    if (next !== undefined || this.#allRead.has(number)) return next
    this.#batch.flushWaiting()
    const limit = Math.max(this.#claimsBefore, this.#claims)
    const read = this.#ready(number, limit).map((row) => this.#waitingTaskOf(row))
    read.sort((a, b) => (comesBefore(a, b) ? 1 : -1))
    this.#ahead.set(number, read)
    if (read.length < limit) this.#allRead.add(number)
    return read.at(-1)
  }

  /** One more waits: what was read ahead is the best still, unless it comes before that. */
  #cameReady(number: number, task: SqliteTask): void {
    const last = this.#ahead.get(number)?.[0]
    if (last === undefined || comesBefore(task, last)) this.#ahead.delete(number)
    this.#allRead.delete(number)
  }

  #forgetAhead(): void {
    this.#ahead.clear()
    this.#allRead.clear()
  }

  /** Whether a task of this name waits that is under no limits. */
  hasReady(name: string): boolean {
    const row = this.#statement(
      `SELECT 1 FROM tasks INDEXED BY tasks_ready WHERE state = ${QUEUED} AND suspect = 0 AND lane IS NULL AND blocked = 0 AND name = ? LIMIT 1`,
    ).get(this.names.number(name) as number)
    return row !== undefined
  }

  /** How many tasks of this name are queued. */
  waiting(name: string): number {
    const number = this.names.number(name)
    return number === undefined ? 0 : this.tally.of(number, 'queued')
  }

  /** How many come before one that waits, of its name or its lane. */
  countAhead({ name, lane, priority, runAt, seq }: SqliteTask, most: number): number {
    const [index, where, at] =
      lane === null
        ? ['tasks_ready', 'lane IS NULL AND blocked = 0 AND name = ?', this.names.number(name) as number]
        : ['tasks_lane', 'lane = ?', lane]
    const count = (more: string, ...values: number[]): number =>
      this.#statement(
        `SELECT count(*) AS n FROM (SELECT 1 FROM tasks INDEXED BY ${index}
           WHERE state = ${QUEUED} AND suspect = 0 AND ${where} AND ${more} LIMIT ${most})`,
      ).get(at, ...values)?.['n'] as number
    const higher = count('priority > ?', priority)
    return Math.min(most, higher + count('priority = ? AND (run_at, seq) < (?, ?)', priority, runAt, seq))
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
    const parents = extras?.after === undefined ? NOBODY : extras.after.map((parent) => this.byId(parent) as SqliteTask)
    const unfinished = parents.length === 0 ? NOBODY : parents.filter((parent) => !hasEnded(parent.state))
    const waits = state === 'queued' && unfinished.length === 0
    const lane = waits && isLimited(extras) ? this.lanes.join(number, extras as TaskExtras) : null
    const task: SqliteTask = {
      seq: this.#nextSeq(),
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
      lane,
      blocked: unfinished.length,
      extras,
    }
    const { seq } = task
    this.#batch.insert({ task, name: number, input: large ? APART : input, extras: extrasText(extras) })
    if (large) this.#statement('INSERT INTO inputs (seq, input) VALUES (?, ?)').run(seq, input)
    if (lane !== null) this.lanes.came(lane, task)
    this.families.follow(task, unfinished)
    for (const tag of extras?.tags ?? [])
      this.#statement('INSERT OR IGNORE INTO tags (tag, name, state, seq) VALUES (?, ?, ?, ?)').run(
        tag,
        number,
        stateNumber(state),
        seq,
      )
    if (this.#ahead.size > 0) this.#cameReady(number, task)
    this.tally.count(number, state, 1)
    this.feed.add(id)
    if (state === 'scheduled') this.tally.schedules(runAt)
    const failed = parents.find((parent) => hasEnded(parent.state) && afterEnd(parent, task) === 'is cancelled')
    if (failed !== undefined) this.families.cancelAfter(failed, { ...task, extras: { ...extras } }, now)
    return task
  }

  #nextSeq(): number {
    this.#last ??= (this.#lastSeq.get()?.['seq'] ?? 0) as number
    return ++this.#last
  }

  /** It was revived: it comes after those that have not ended. */
  #followAgain(task: SqliteTask, after: readonly string[]): void {
    const parents = after.map((id) => this.byId(id)).filter((parent) => parent !== undefined && !hasEnded(parent.state))
    task.blocked = parents.length
    this.families.follow(task, parents as SqliteTask[])
  }

  /** A worker takes it. */
  claim(task: SqliteTask): void {
    this.#batch.claim(task)
    this.#claims++
    const ahead = this.#ahead.get(this.names.number(task.name) as number)
    if (ahead?.at(-1) === task) ahead.pop()
    if (task.lane !== null) this.lanes.begins(task)
    this.#moved(task, 'queued')
  }

  /**
   * Writes what became of an attempt, provided that it is still this worker's and that no cancel has come in between; tells
   * whether it was, within the transaction.
   *
   * @param before the task as this worker knew it
   */
  settle(task: SqliteTask, before: SqliteTask, told: (isWritten: boolean) => void): void {
    if (!isPlainSuccess(task, before)) return told(this.#settleNow(task, before))
    const output = text(task.output)
    this.#batch.succeed({
      task,
      before,
      output,
      told: (isWritten) => {
        if (isWritten) this.#settled(task, before)
        told(isWritten)
      },
    })
    // What may let others go is written at once: who asks next may be one of them.
    if (before.lane !== null || this.families.hasAny) this.#batch.flushEnded()
  }

  #settleNow(task: SqliteTask, before: SqliteTask): boolean {
    this.#join(task)
    if (before.lane !== null && task.state === 'queued') this.lanes.count(before.lane)
    if (this.#settle(task, before) === 0) return false
    if (task.state === 'queued') {
      this.#forgetAhead()
      if (task.lane !== null) this.lanes.came(task.lane, task) // first, or a lane of which nothing else waits would go
    }
    this.#settled(task, before)
    return true
  }

  /** Its verdict is written. */
  #settled(task: SqliteTask, { lane }: SqliteTask): void {
    // After it has come back: a lane where nothing waits goes with the last that runs there.
    if (lane !== null) this.lanes.ends({ ...task, lane })
    this.#moved(task, 'running')
    if (hasEnded(task.state)) this.families.ended(task)
  }

  #settle(task: SqliteTask, before: SqliteTask): number {
    return this.#statement(
      `UPDATE tasks SET state = ?, run_at = ?, max_attempts = ?, finished_at = ?, output = ?, error = ?, extras = ?,
         suspect = 0, worker = NULL, lane = ?
       WHERE seq = ? AND state = ${RUNNING} AND worker = ? AND attempt = ? AND cancel_requested_at IS ?`,
    ).run(
      stateNumber(task.state),
      task.runAt,
      task.maxAttempts,
      task.finishedAt,
      text(task.output),
      text(task.error),
      extrasText(task.extras),
      task.lane,
      task.seq,
      before.worker,
      before.attempt,
      before.extras?.cancelRequestedAt ?? null,
    ).changes
  }

  /**
   * Writes all of it: for what happens seldom.
   *
   * @param from the state that it was in
   * @param now epoch ms, where an attempt of it has ended without a verdict
   */
  write(task: SqliteTask, from: TaskState, now?: number): void {
    const { extras, lane: left } = task
    if (hasEnded(from) && extras?.after !== undefined) this.#followAgain(task, extras.after)
    if (left !== null && from === 'queued') this.lanes.left(left, task)
    this.#join(task)
    if (left !== null && from === 'running' && task.state === 'queued') this.lanes.count(left)
    this.#forgetAhead()
    if (isSuspect(task)) this.tally.suspects = true
    this.#statement(
      `UPDATE tasks SET state = ?, priority = ?, run_at = ?, attempt = ?, max_attempts = ?, started_at = ?, finished_at = ?,
         worker = ?, suspect = ?, cancel_requested_at = ?, cancel_reason = ?, cancel_force = ?, output = ?, error = ?,
         progress = ?, saved = ?, extras = ?, lane = ?, blocked = ?
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
      task.lane,
      task.blocked,
      task.seq,
    )
    // A suspect stands apart from the others.
    if (task.lane !== null && task.state === 'queued' && !isSuspect(task)) this.lanes.came(task.lane, task)
    if (left !== null && from === 'running' && task.state !== 'running') this.lanes.ends({ ...task, lane: left }, now)
    if (left !== null && from === 'queued' && task.state !== 'queued' && isSuspect(task)) this.lanes.dropped(left)
    if (task.state === from) this.feed.add(task.id)
    else this.#moved(task, from)
    if (hasEnded(task.state) && !hasEnded(from)) this.families.ended(task)
  }

  /** Where it stands, if it waits under limits now; where it ran is left as it is. */
  #join(task: SqliteTask): void {
    if (task.state !== 'queued') return
    const { extras } = task
    task.lane =
      isLimited(extras) && task.blocked === 0 ? this.lanes.join(this.names.make(task.name), extras as TaskExtras) : null
  }

  /** Writes one column of a task, provided that its attempt is still this worker's; says whether it is. */
  put(task: SqliteTask, column: 'progress' | 'saved', json: string): boolean {
    const { changes } = this.#statement(
      `UPDATE tasks SET ${column} = ? WHERE seq = ? AND state = ${RUNNING} AND worker = ? AND attempt = ?`,
    ).run(json, task.seq, task.worker, task.attempt)
    this.feed.add(task.id)
    return changes > 0
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

  /** seqs below `before` in one range, greatest first. Of many tags the first few are looked at. */
  range(name: number, state: number, before: number, limit: number, tags: readonly string[]): number[] {
    const [first, ...others] = tags.slice(0, MOST_JOINED)
    const [table, where, values]: [string, string, Value[]] =
      first === undefined ? ['tasks INDEXED BY tasks_list', '', []] : ['tags', 'tag = ? AND ', [first]]
    return this.#statement(
      `SELECT seq FROM ${table} WHERE ${where}name = ? AND state = ? AND seq < ?${HAS_TAG.repeat(others.length)} ORDER BY seq DESC LIMIT ?`,
    )
      .all(...values, name, state, before, ...others, limit)
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
    const input = this.#input(row['seq'] as number, row['input'] as Value)
    return toTask(row, this.names.name(row['name'] as number), input)
  }

  #input(seq: number, input: Value): Value {
    if (input !== APART) return input
    return this.#statement('SELECT input FROM inputs WHERE seq = ?').get(seq)?.['input'] ?? null
  }
}

/** Tags that are looked for in the index; each number of them is a statement of its own. */
const MOST_JOINED = 4
const HAS_TAG =
  ' AND EXISTS (SELECT 1 FROM tags AS other WHERE other.tag = ? AND other.name = tags.name AND other.state = tags.state AND other.seq = tags.seq)'

/** Nothing else of its row has changed. */
function isPlainSuccess({ state, extras }: SqliteTask, before: SqliteTask): boolean {
  if (state !== 'succeeded') return false
  if (extras === undefined) return true
  const { history, outputError, cancelRequestedAt } = extras
  return (
    history === undefined &&
    outputError === undefined &&
    cancelRequestedAt === undefined &&
    before.extras?.deaths === undefined
  )
}
