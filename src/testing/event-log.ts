/**
 * The log: what a runner told, in order, in a form that a snapshot can hold.
 *
 * Ids are random unless a seed or the test gives them, so the text numbers tasks by their submission instead; times count
 * from the start. The same run thus gives the same text.
 */
import { inspect } from 'node:util'
import type { Hold, SerializedError, TaskEvent, TaskRecord } from '../index.js'
import { showSpan } from './span.js'

/** One event. Those of a task tell which; `held` and `unheld` tell a name; `idle` and `error` may tell of none. */
export interface LogEvent {
  /** ms since the runner was made */
  readonly at: number
  readonly event: TaskEvent | 'held' | 'unheld' | 'idle' | 'error'
  readonly id?: string
  readonly name?: string
  /** Its place among the tasks of this runner, from 1. */
  readonly task?: number
  /** Executions so far, the running one included; absent before the first. */
  readonly attempt?: number
  /** ms until it is due, where it waits; until a probe may go, where its name is held. */
  readonly dueIn?: number
  readonly progress?: unknown
  readonly error?: { readonly code?: string; readonly message: string }
}

const TIME_WIDTH = 10
const EVENT_WIDTH = 11

/** What a runner told, in order; `String(log)` is one line an event. */
export class EventLog {
  readonly #events: LogEvent[]

  constructor(events: LogEvent[] = []) {
    this.#events = events
  }

  get events(): readonly LogEvent[] {
    return this.#events
  }

  /** The events of one task, given by id or handle. */
  of(task: string | { readonly id: string }): EventLog {
    const id = typeof task === 'string' ? task : task.id
    return new EventLog(this.#events.filter((each) => each.id === id))
  }

  toString(): string {
    return this.#events.map(toLine).join('\n')
  }
}

/** Writes what a runner tells into a log. */
export class LogWriter {
  readonly log: EventLog
  readonly #events: LogEvent[] = []
  readonly #numbers: Map<string, number> = new Map()
  readonly #since: () => number
  readonly #now: () => number

  /** @param since ms since the start @param now epoch ms, as records tell time */
  constructor(since: () => number, now: () => number) {
    this.#since = since
    this.#now = now
    this.log = new EventLog(this.#events)
  }

  changed(event: TaskEvent, { id, name, state, attempt, runAt, progress, error }: TaskRecord): void {
    this.#write({
      event,
      id,
      name,
      task: this.#number(id),
      ...(attempt > 0 && { attempt }),
      ...(state === 'scheduled' && { dueIn: runAt - this.#now() }),
      ...(event === 'progress' && { progress }),
      ...(error !== undefined && { error: toError(error) }),
    })
  }

  hold(name: string, hold: Hold | undefined): void {
    if (hold === undefined) return this.#write({ event: 'unheld', name })
    this.#write({ event: 'held', name, dueIn: hold.until - this.#now(), error: toError(hold.error) })
  }

  idle(): void {
    this.#write({ event: 'idle' })
  }

  fault(error: unknown, record: TaskRecord | undefined): void {
    const told = error as { readonly code?: unknown; readonly message?: unknown } | undefined
    this.#write({
      event: 'error',
      ...(record && { id: record.id, name: record.name, task: this.#number(record.id) }),
      error: {
        message: typeof told?.message === 'string' ? told.message : inspect(error),
        ...(typeof told?.code === 'string' && { code: told.code }),
      },
    })
  }

  #write(event: Omit<LogEvent, 'at'>): void {
    this.#events.push({ at: this.#since(), ...event })
  }

  #number(id: string): number {
    const known = this.#numbers.get(id) ?? this.#numbers.size + 1
    this.#numbers.set(id, known)
    return known
  }
}

function toError({ code, message }: SerializedError): NonNullable<LogEvent['error']> {
  return { message, ...(code !== undefined && { code }) }
}

/** `+1s        retrying    email 1, attempt 2, in 5s: ECONNREFUSED connection refused` */
function toLine({ at, event, name, task, attempt, dueIn, progress, error }: LogEvent): string {
  const facts = [
    ...(name === undefined ? [] : [task === undefined ? name : `${name} ${task}`]),
    ...(attempt === undefined ? [] : [`attempt ${attempt}`]),
    ...(dueIn === undefined ? [] : [`in ${showSpan(dueIn)}`]),
  ]
  const told = [
    ...(progress === undefined ? [] : [JSON.stringify(progress)]),
    ...(error === undefined ? [] : [[error.code, error.message].filter(Boolean).join(' ')]),
  ]
  const text = [facts.join(', '), ...told].filter(Boolean).join(': ')
  return `${`+${showSpan(at)}`.padEnd(TIME_WIDTH)} ${event.padEnd(EVENT_WIDTH)} ${text}`.trimEnd()
}
