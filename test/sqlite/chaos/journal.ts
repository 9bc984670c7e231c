/** What processes write down, in the order in which it happened, and what the tasks' records are held to by it. */
import { appendFileSync, readFileSync } from 'node:fs'
import type { TaskRecord } from 'background-runner'

/** Writes a line each with one write, so that it is there whole or not at all, whenever the process dies. */
export function noteIn(path: string): (...words: (string | number)[]) => void {
  return (...words) => appendFileSync(path, `${words.join(' ')}\n`)
}

export function readJournal(path: string): string[][] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' '))
}

export interface Verdict {
  /** Tasks that `submit` has acknowledged. */
  readonly submitted: number
  /** Acknowledged, and not there any more; or not with the output or the saved state that it must have. */
  readonly lost: readonly string[]
  /** Not at their end although there is nothing left to do. */
  readonly stuck: readonly string[]
  /** Begun again because it was running when its process was killed. */
  readonly ranTwice: number
  /** Begun again for no such reason. */
  readonly wrong: readonly string[]
  /** Ended CRASHED, having been at three deaths in a row. */
  readonly crashed: number
}

/** ms from each kill to each begin, elsewhere or anew, of what was running at it. */
export function recoveries(journal: readonly (readonly string[])[]): number[] {
  const killed = new Map<string, number>()
  const running = new Map<string, string>()
  const spans: number[] = []
  for (const [what, id = '', second = '', third = '', , at = ''] of journal) {
    if (what === 'killing') killed.set(id, Number(second))
    else if (what === 'end') running.delete(id)
    else if (what === 'begin') {
      const death = killed.get(running.get(id) ?? '')
      if (death !== undefined) spans.push(Number(at) - death)
      running.set(id, third)
    }
  }
  return spans
}

interface Begun {
  readonly attempt: number
  readonly pid: string
  ended: boolean
}

/** @param records all that there are when everything has been worked off, by id */
export function judge(journal: readonly (readonly string[])[], records: ReadonlyMap<string, TaskRecord>): Verdict {
  const acknowledged = new Set<string>()
  const cancelling = new Set<string>()
  const cancelled = new Set<string>()
  const succeeded = new Set<string>()
  const killed = new Set<string>()
  const saved = new Map<string, number>()
  const begun = new Map<string, Begun>()
  const lost = new Set<string>()
  const wrong: string[] = []
  let ranTwice = 0

  const again = (id: string, attempt: number, last: Begun): void => {
    const outcome = records.get(id)?.attempts.find(({ number }) => number === last.attempt)?.outcome
    if (attempt <= last.attempt) wrong.push(`${id} begins attempt ${attempt} after ${last.attempt}`)
    else if (last.ended && outcome === 'retry') return
    else if (!killed.has(last.pid)) wrong.push(`${id} begins again, and nobody killed ${last.pid}, which runs it`)
    else if (outcome !== 'crashed') wrong.push(`${id} begins again, and attempt ${last.attempt} is ${outcome}`)
    else ranTwice++
  }

  for (const [what, id = '', second = '', third = '', fourth = ''] of journal) {
    if (what === 'acknowledged') acknowledged.add(id)
    else if (what === 'cancelling') cancelling.add(id)
    else if (what === 'cancelled') cancelled.add(id)
    else if (what === 'killing') killed.add(id)
    else if (what === 'struck') killed.add(second)
    else if (what === 'succeeded') succeeded.add(id)
    else if (what === 'saved') saved.set(id, Number(second))
    else if (what === 'end') (begun.get(id) as Begun).ended = true
    else if (what === 'begin') {
      const attempt = Number(second)
      const last = begun.get(id)
      if (cancelled.has(id)) wrong.push(`${id} begins, and its cancel was acknowledged`)
      if (succeeded.has(id)) wrong.push(`${id} begins, and it has succeeded`)
      if (last !== undefined) again(id, attempt, last)
      if (Number(fourth) < (saved.get(id) ?? 0)) lost.add(`${id}: what attempt ${saved.get(id)} has saved`)
      begun.set(id, { attempt, pid: third, ended: false })
    }
  }

  const stuck: string[] = []
  let crashed = 0
  for (const [id, { state, output, error, attempts }] of records) {
    if (state === 'succeeded' && output !== `done ${id}`) lost.add(`${id}: its output`)
    else if (error?.code === 'CRASHED' && attempts.slice(-3).every(({ outcome }) => outcome === 'crashed')) crashed++
    else if (state !== 'succeeded' && state !== 'cancelled') stuck.push(`${id} is ${state} ${error?.message ?? ''}`)
    else if (state === 'cancelled' && !cancelling.has(id)) wrong.push(`${id} is cancelled, and nobody asked for it`)
  }
  for (const id of acknowledged) if (!records.has(id) && !cancelling.has(id)) lost.add(id)
  for (const id of succeeded) if (records.get(id)?.state !== 'succeeded') lost.add(`${id}: its success`)
  return { submitted: acknowledged.size, lost: [...lost], stuck, ranTwice, wrong, crashed }
}
