/**
 * What would go wrong, or go slowly, if it went side by side over several connections.
 *
 * What is asked for while the same is under way is done in one go after it. Claims, since side by side they would start
 * tasks in any order; and submissions, since one by one each would wait for the disk.
 */
import type { Answer, Asker } from './backend.js'
import { isAway } from './trouble.js'

/** Claims of the same. */
interface Batch {
  readonly now: number
  readonly what: readonly (string | number)[]
  readonly waiting: { resolve(answer: Answer): void; reject(error: unknown): void }[]
}

/** So many are taken in one go. */
const MOST = 50

/** Work in which claims are gathered. */
export function gatherClaims(ask: Asker): Asker {
  const batches: Batch[] = []
  let isUnderWay = false

  async function next(): Promise<void> {
    isUnderWay = true
    // Those that are asked for in the same turn are asked for together.
    await Promise.resolve()
    for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
      const { now, what, waiting } = batch
      try {
        const rows = (await ask('claim', now, [...what, waiting.length])) as Answer[]
        const declined = rows.at(-1) === 'declined' ? 'declined' : null
        for (const [i, { resolve }] of waiting.entries()) resolve(rows[i] ?? declined)
      } catch (error) {
        for (const { reject } of waiting) reject(error)
      }
    }
    isUnderWay = false
  }

  return (question, now, parameters, ...raw) => {
    if (question !== 'claim') return ask(question, now, parameters, ...raw)
    const what = parameters as readonly (string | number)[]
    return new Promise((resolve, reject) => {
      const last = batches.at(-1)
      if (last !== undefined && last.now === now && last.waiting.length < MOST && isSame(last.what, what))
        last.waiting.push({ resolve, reject })
      else batches.push({ now, what, waiting: [{ resolve, reject }] })
      if (!isUnderWay) void next()
    })
  }
}

function isSame(a: Batch['what'], b: Batch['what']): boolean {
  return a.length === b.length && a.every((each, i) => each === b[i])
}

/** Work in which what is written of one job is written in the order in which it was asked for. */
export function inOrderOfJob(ask: Asker): Asker {
  const last = new Map<string, Promise<Answer>>()
  return (...question) => {
    const job = jobOf(...question)
    if (job === undefined) return ask(...question)
    const before = last.get(job)
    const next = (): Promise<Answer> => ask(...question)
    const answer = before === undefined ? next() : before.then(next, next)
    last.set(job, answer)
    const done = (): void => {
      if (last.get(job) === answer) last.delete(job)
    }
    answer.then(done, done)
    return answer
  }
}

/** Which job is written of. */
function jobOf(...[question, , parameters]: Parameters<Asker>): string | undefined {
  if (question === 'settle') return (parameters as readonly (string | number)[]).slice(0, 2).join(' ')
  if (question !== 'put') return undefined
  const { queue, id } = parameters as { readonly queue: string; readonly id: string }
  return `${queue} ${id}`
}

/** What `insert` is asked, as far as it matters here. */
interface Inserting {
  readonly tasks: readonly {
    readonly new: boolean
    readonly key: unknown
    readonly after: unknown
  }[]
  readonly maxPending: unknown
  readonly schedule: unknown
}

interface Submission {
  readonly now: number
  readonly tasks: Inserting['tasks']
  readonly raw: readonly string[]
  resolve(answer: Answer): void
  reject(error: unknown): void
}

/** Verbs, in their order, in which submissions are gathered that nothing can be refused of. */
export function gatherSubmissions(ask: Asker): Asker {
  let waiting: Submission[] = []
  let underWay = 0

  function send(): void {
    if (waiting.length === 0) return
    const batch = waiting
    waiting = []
    underWay++
    void store(batch).finally(() => {
      underWay--
      if (underWay === 0) send()
    })
  }

  async function store(batch: readonly Submission[]): Promise<void> {
    try {
      const tasks = batch.flatMap(({ now, tasks }) => tasks.map((task) => ({ ...task, at: now })))
      const now = Math.max(...batch.map((each) => each.now))
      const [word, ...answers] = (await ask('insert', now, { tasks }, ...batch.flatMap(({ raw }) => raw))) as Answer[]
      const cancelled = answers.pop()
      for (const { tasks, resolve } of batch) resolve([word, ...answers.splice(0, tasks.length), cancelled])
    } catch (error) {
      // One of them may be at fault, and not the others.
      if (batch.length === 1 || isAway(error)) for (const { reject } of batch) reject(error)
      else await Promise.all(batch.map((each) => store([each])))
    }
  }

  return (question, now, parameters, ...raw) => {
    if (question !== 'insert' || !isFree(parameters as Inserting)) {
      send()
      return ask(question, now, parameters, ...raw)
    }
    return new Promise((resolve, reject) => {
      waiting.push({ now, tasks: (parameters as Inserting).tasks, raw, resolve, reject })
      if (underWay === 0 || waiting.length >= MOST) send()
    })
  }
}

/** It has nothing to do with any other task. */
function isFree({ tasks, maxPending, schedule }: Inserting): boolean {
  if (maxPending !== undefined || schedule !== undefined) return false
  return tasks.length <= MOST && tasks.every((task) => task.new && task.key === undefined && task.after === undefined)
}
