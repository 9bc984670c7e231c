/**
 * Schedules: tasks that are submitted again and again, at times that a pattern or a span gives. Loaded on demand: by the
 * verb, or where the engine has kept some.
 *
 * The engine keeps each with the time of its next occurrence. Every process that works, and knows the task, has one
 * alarm for the first of them, and fires what is due by compare-and-set: of several one is the first, which submits the
 * task and sets the next time in one step. An occurrence that nobody was there for is fired late, once.
 */
import { type Alarm, at, nextTurn } from './clock.js'
import { loadCron, type ReadCron } from './cron.js'
import type { Duration } from './duration.js'
import type { Engine, NewTask } from './engine.js'
import { type InputIssue, InvalidInputError, RunnerClosedError, show } from './errors.js'
import { hasEnded } from './lifecycle.js'
import type { FilledOptions } from './options.js'
import { fields, type Rule, read, required, rule, span, text } from './rules.js'
import type { ScheduleRecord, ScheduleSpec } from './schedule.js'
import type { Submission } from './submission.js'

/** What `schedule` is given. */
export type ScheduleOptions<Name extends string = string, Input = unknown> = {
  /** Which task is submitted. */
  readonly task: Name
  /** A cron pattern of 5 fields, or of 6, seconds first; needs the package croner. Or `every`. */
  readonly cron?: string
  /** The time from one occurrence to the next, at least a second; the first is so long after the call. */
  readonly every?: Duration
  /** The zone in which the pattern is read: `'Europe/Berlin'`. @default 'UTC' */
  readonly timezone?: string
  /**
   * When an occurrence comes and the task of the one before has not ended. `skip`: it is passed over. `queue`: it is
   * submitted. @default 'skip'
   */
  readonly overlap?: 'skip' | 'queue'
} & (undefined extends Input ? { readonly input?: Input } : { readonly input: Input })

/** What an engine that keeps schedules can do. */
export type ScheduleEngine = Engine &
  Required<Pick<Engine, 'putSchedule' | 'removeSchedule' | 'schedules' | 'fireSchedule'>>

const SUBJECT = 'bad schedule'
/** After a fault what is due is tried again after this many ms. */
const FAULT_DELAY = 10_000
/** The last moment of a Date. */
const NEVER = 8.64e15
/** A clock that is off by no more than this, ms, is right; two processes may differ by it. */
const SKEW = 60_000
/** After so many that are due the event loop turns. */
const STEP = 100
/** The task's id has a dash and up to 16 digits more. */
const isId = (value: unknown): boolean => typeof value === 'string' && /^[A-Za-z0-9_-]{1,100}$/.test(value)
const ID = rule<string>(isId, 'must be 1 to 100 of A-Z a-z 0-9 _ -')

export class Schedules {
  readonly #engine: ScheduleEngine
  readonly #options: Pick<FilledOptions, 'clock' | 'work' | 'works'>
  readonly #submission: Submission
  readonly #within: (look: () => void) => void
  readonly #report: (error: unknown) => void
  #readCron: ReadCron | undefined
  #alarm: Alarm | undefined
  /** When it rings. */
  #wake = NEVER
  #looking = false
  /** Something has changed since it read the schedules. */
  #stale = false
  /** What the clock showed at the last look. Before the first one it may have shown anything. */
  #shown = Number.POSITIVE_INFINITY
  /** What is being fired, by schedule and time: a schema may take long, and the other schedules do not wait for it. */
  readonly #firing: Set<string> = new Set()
  /** What goes on in the engine. */
  readonly #writing: Set<Promise<boolean>> = new Set()
  #closed = false
  /** Before this what is due is not tried again: it failed. By schedule. */
  readonly #notBefore: Map<string, number> = new Map()
  /** What was told of each since it last fired. */
  readonly #told: Map<string, string> = new Map()

  /** @param within runs a look in the context in which tasks are submitted */
  constructor(
    engine: ScheduleEngine,
    options: Pick<FilledOptions, 'clock' | 'work' | 'works'>,
    submission: Submission,
    within: (look: () => void) => void,
    report: (error: unknown) => void,
  ) {
    this.#engine = engine
    this.#options = options
    this.#submission = submission
    this.#within = within
    this.#report = report
  }

  /** @throws {InvalidInputError} {UnknownTaskError} {MissingDependencyError} */
  async put(id: string, options: unknown): Promise<void> {
    const issues: InputIssue[] = []
    ID(id, ['id'], issues)
    if (issues.length > 0) throw new InvalidInputError(SUBJECT, issues)
    const { overlap = 'skip', input, timezone = 'UTC', ...rest } = read(SUBJECT, options, SPEC)
    const taken = await this.#submission.check(rest.task, input)
    const spec: ScheduleSpec = {
      ...rest,
      ...(taken !== undefined && { input: taken }),
      ...(rest.cron !== undefined && { timezone }),
      overlap,
    }
    const now = this.#options.clock.now()
    const next = spec.cron === undefined ? now + (spec.every as number) : await this.#firstOf(spec.cron, timezone, now)
    if (this.#closed) throw new RunnerClosedError()
    await this.#engine.putSchedule({ id, ...spec, next })
    this.look()
  }

  async #firstOf(cron: string, timezone: string, now: number): Promise<number> {
    const refuse = (message: string, cause?: unknown): InvalidInputError =>
      new InvalidInputError(SUBJECT, [{ path: ['cron'], message }], { cause })
    this.#readCron ??= await loadCron()
    let next: number | undefined
    try {
      next = this.#readCron(cron, timezone)(now)
    } catch (error) {
      throw refuse(`must be a cron pattern of 5 or 6 fields, got ${show(cron)}`, error)
    }
    if (next === undefined) throw refuse(`never comes: ${show(cron)}`)
    return next
  }

  /** Its first occurrence after now. */
  async #following({ cron, every, timezone = 'UTC', next }: ScheduleRecord, now: number): Promise<number> {
    if (cron === undefined) {
      const step = every as number
      return next + (Math.floor(Math.max(0, now - next) / step) + 1) * step
    }
    this.#readCron ??= await loadCron()
    // Read anew each time: a pattern that is read takes 85 kB, and to read it 0.1 ms.
    return this.#readCron(cron, timezone)(Math.max(now, next)) ?? NEVER
  }

  /** Fires what is due, and sets the alarm for what comes next. */
  look(): void {
    if (this.#closed || !this.#options.work) return
    this.#stale = true
    if (!this.#looking) this.#within(() => void this.#lookOn())
  }

  /** Never rejects. */
  async #lookOn(): Promise<void> {
    this.#looking = true
    while (this.#stale && !this.#closed) {
      this.#stale = false
      this.#sleep()
      this.#wakeAt(await this.#round())
    }
    this.#looking = false // in the step that has found nothing stale
  }

  /** Without an alarm. */
  #sleep(): void {
    this.#alarm?.cancel()
    this.#alarm = undefined
    this.#wake = NEVER
  }

  #wakeAt(time: number): void {
    if (this.#closed || time >= this.#wake) return
    this.#alarm?.cancel()
    this.#wake = time
    this.#alarm = at(this.#options.clock, time, () => this.look())
  }

  /** Begins with what is due. Gives when something else is. */
  async #round(): Promise<number> {
    const { clock, works } = this.#options
    let wake = NEVER
    try {
      const schedules = await this.#engine.schedules()
      const wasSetBack = this.#wasSetBack(clock.now())
      this.#forget(schedules)
      let begun = 0
      for (const schedule of schedules) {
        if (this.#closed) break
        const { id, next } = schedule
        if (!works.has(schedule.task) || this.#firing.has(`${id} ${next}`)) continue
        const due = Math.max(next, this.#notBefore.get(id) ?? 0)
        const now = clock.now()
        if (due > now && !wasSetBack) wake = Math.min(wake, due)
        else {
          void this.#begin(schedule, now)
          if (++begun % STEP === 0) await new Promise<void>(nextTurn)
        }
      }
    } catch (error) {
      if (!this.#closed) this.#tell('', error)
      wake = clock.now() + FAULT_DELAY
    }
    return wake
  }

  /** Whether the times that are kept may be of a clock that was far ahead. */
  #wasSetBack(now: number): boolean {
    const wasSetBack = now + SKEW < this.#shown
    this.#shown = now
    if (wasSetBack) this.#notBefore.clear()
    return wasSetBack
  }

  /** What was told of schedules that are gone; and that they could not be read. */
  #forget(schedules: readonly ScheduleRecord[]): void {
    if (this.#told.size === 0) return
    const ids = new Set(schedules.map(({ id }) => id))
    for (const id of this.#told.keys()) {
      if (ids.has(id)) continue
      this.#told.delete(id)
      this.#notBefore.delete(id)
    }
  }

  async #begin(schedule: ScheduleRecord, now: number): Promise<void> {
    const firing = `${schedule.id} ${schedule.next}`
    this.#firing.add(firing)
    const again = await this.#fire(schedule, now)
    this.#firing.delete(firing)
    this.#wakeAt(again)
  }

  /** Gives when it is looked at again. Never rejects. */
  async #fire(schedule: ScheduleRecord, now: number): Promise<number> {
    const { id, next } = schedule
    try {
      const isDue = next <= now
      const soon = now + SKEW
      if (!isDue && next <= (await this.#following({ ...schedule, next: soon }, soon))) return next
      // One that is not due was made by a clock that was far ahead: it is passed over.
      const following = await this.#following(isDue ? schedule : { ...schedule, next: now }, now)
      const task = isDue ? await this.#taskOf(schedule) : undefined
      if (this.#closed) return NEVER
      if (!isDue) this.#shown = Number.POSITIVE_INFINITY // it is looked at once more: the write may fail
      // One that was faster has set another time, or it has changed.
      if (!(await this.#written(this.#submitted(schedule, following, task)))) this.look()
      this.#notBefore.delete(id)
      if (task !== undefined) this.#told.delete(id)
      return following
    } catch (error) {
      if (this.#closed) return NEVER
      this.#tell(id, error)
      const again = this.#options.clock.now() + FAULT_DELAY
      this.#notBefore.set(id, again)
      return again
    }
  }

  async #written(writing: Promise<boolean>): Promise<boolean> {
    this.#writing.add(writing)
    try {
      return await writing
    } finally {
      this.#writing.delete(writing)
    }
  }

  async #submitted(schedule: ScheduleRecord, following: number, task: NewTask | undefined): Promise<boolean> {
    try {
      return await this.#engine.fireSchedule(schedule, following, task)
    } catch (error) {
      // By its code: the engine may be of another copy of this library.
      if ((error as { readonly code?: unknown } | undefined)?.code !== 'INVALID_STATE') throw error
      this.#tell(schedule.id, error) // its id is another task's, which no waiting changes
      return this.#engine.fireSchedule(schedule, following, undefined)
    }
  }

  /** Undefined: this occurrence is passed over. */
  async #taskOf({ id, task, input, overlap, next, lastTask }: ScheduleRecord): Promise<NewTask | undefined> {
    if (overlap === 'skip' && lastTask !== undefined) {
      const last = await this.#engine.get(lastTask)
      if (last !== undefined && !hasEnded(last.state)) return undefined
    }
    try {
      return await this.#submission.make(task, input, { id: `${id}-${next}` })
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error
      this.#tell(id, error) // the definition has changed, and no waiting makes it fit
      return undefined
    }
  }

  #tell(id: string, error: unknown): void {
    const said = String(error)
    if (this.#told.get(id) === said) return
    this.#told.set(id, said)
    this.#report(error)
  }

  /** Resolves when the engine has done what was asked of it. Nobody waits for a schema, which may never answer. */
  async close(): Promise<void> {
    this.#closed = true
    this.#sleep()
    await Promise.allSettled(this.#writing)
  }
}

// What a schedule must be.

/** By its name: an offset knows no daylight-saving time, and not each Node knows offsets. */
const zone: Rule<string> = rule((value) => {
  try {
    return typeof value === 'string' && /^[A-Za-z]/.test(value) && !!new Intl.DateTimeFormat('en', { timeZone: value })
  } catch {
    return false
  }
}, "must be a time zone such as 'Europe/Berlin'")

const step: Rule<number> = (value, path, issues) => {
  const ms = span(value, path, issues)
  if (ms < 1_000) issues.push({ path, message: `must be at least a second, got ${show(value)}` })
  return ms
}

const table = fields({
  task: required(text),
  input: rule<unknown>(() => true, ''),
  cron: text,
  every: step,
  timezone: zone,
  overlap: rule<'skip' | 'queue'>((value) => value === 'skip' || value === 'queue', "must be 'skip' or 'queue'"),
})
type Given = ReturnType<typeof table>
const SPEC: Rule<Given> = (value, path, issues) => {
  const before = issues.length
  const spec = table(value, path, issues)
  if (issues.length > before) return spec
  const refuse = (field: keyof Given, message: string): void => void issues.push({ path: [...path, field], message })
  if (spec.cron === undefined && spec.every === undefined) refuse('cron', 'is missing: give cron or every')
  if (spec.cron !== undefined && spec.every !== undefined) refuse('every', 'cannot be given together with cron')
  if (spec.cron === undefined && spec.timezone !== undefined) refuse('timezone', 'is for cron alone')
  return spec
}
