/**
 * A wait in a test: nobody waits for what cannot come.
 *
 * Under virtual time nothing happens by itself. A wait that no handler and no due task can end fails at once, and any
 * other after `realTimeout`, each saying what would end it. While the harness is driven, it waits with it.
 */
import type { TaskRecord } from '../index.js'
import { fail } from './driver.js'
import type { Harness } from './harness.js'
import { sleep, stopwatch, turns } from './real-time.js'
import { showSpan } from './span.js'

/** Looks at which the event loop only turns. */
const RESTLESS = 20

/** What this file has failed with. */
const gaveUp: WeakSet<object> = new WeakSet()

/** `waiting`, unless nothing can end it; `why` says what it waits for. */
export function patiently<Result>(harness: Harness, waiting: Promise<Result>, why: () => string): Promise<Result> {
  if (harness.inside) return waiting // the drive waits for a handler already
  let over = false
  const end = (): void => {
    over = true
  }
  waiting.then(end, end)
  const watch = async (fail: (message: string) => void): Promise<void> => {
    let waited = stopwatch()
    for (let looks = 0; !over; looks++) {
      await turns()
      if (over) return
      if (harness.driving) waited = stopwatch()
      else if (!harness.alive || waited() > harness.driver.realTimeout) return fail(why())
      if (looks >= RESTLESS) await sleep(5)
    }
  }
  return hushed(
    new Promise((resolve, reject) => {
      waiting.then(resolve, reject)
      void watch((message) => {
        const error = fail(message)
        gaveUp.add(error)
        reject(error)
      })
    }),
  )
}

/** `waiting`; but that we gave up is no unhandled rejection: it may be long before the test looks at it. */
export function hushed<Result>(waiting: Promise<Result>): Promise<Result> {
  const kept: Promise<Result> = waiting.catch((error: unknown) => {
    if (typeof error === 'object' && error !== null && gaveUp.has(error)) kept.catch(() => undefined)
    throw error
  })
  return kept
}

/** Why a task does not end. */
export function whyNotEnded(harness: Harness, id: string): string {
  const record = harness.open.find((each) => each.id === id)
  return record === undefined ? `task '${id}' cannot end` : explain(harness, record)
}

/** Why the runner is not idle. */
export function whyNotIdle(harness: Harness): string {
  const { open } = harness
  const most = open.slice(0, 3).map((record) => `\n  ${explain(harness, record)}`)
  const more = open.length > most.length ? `\n  … and ${open.length - most.length} more` : ''
  return `the runner is not idle:${most.join('')}${more}`
}

function explain(harness: Harness, { id, name, runAt }: TaskRecord): string {
  const { clock, driver, engine } = harness
  const task = `task ${name} '${id}'`
  const run = harness.runOf(id)
  if (run !== undefined) return driver.describe(run)
  const left = runAt - clock.now()
  const due = new Date(runAt).toISOString()
  if (left > 0)
    return `${task} is scheduled for ${due}, and the clock stands ${showSpan(left)} before: clock.advance(${left}) would run it`
  if (!engine.works) return `${task} is due, but the runner is paused, or was made with work: false`
  return `${task} is due, and nothing runs by itself in a test: call drain(), runNext() or clock.advance()`
}
