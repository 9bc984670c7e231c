/**
 * What processes write down of handlers under limits, and what the limits are held to by it. What runs is placed in time
 * by the machine's monotonic clock, the calls by what the runner's clock showed when the handler was called.
 */
import type { TaskLimits } from 'background-runner'
import { readJournal } from '../chaos/journal.js'

/** The limits of each name. */
export const LIMITS = {
  keyed: { slots: 2, rate: undefined },
  rated: { slots: undefined, rate: { max: 6, interval: 150 } },
  both: { slots: 1, rate: { max: 8, interval: 250 } },
} as const
export type Name = keyof typeof LIMITS

export const RESOURCES: Readonly<Record<string, number>> = { cpu: 3, gpu: 1 }

export interface Input {
  readonly slot: string
  readonly rate: string
  readonly requires: Readonly<Record<string, number>>
  readonly ms: number
  /** Its first attempt fails. */
  readonly fails: boolean
}

/** As a definition has them. */
export function limitsOf(name: Name): TaskLimits<Input> {
  const { slots, rate } = LIMITS[name]
  return {
    ...(slots !== undefined && { concurrency: { max: slots, by: ({ slot }) => slot } }),
    ...(rate !== undefined && { rateLimit: { ...rate, by: ({ rate: key }) => key } }),
    requires: ({ requires }) => requires,
  }
}

export interface Start {
  readonly id: string
  readonly attempt: number
  readonly pid: number
  readonly name: Name
  readonly input: Input
  /** ns, monotonic */
  readonly at: bigint
  /** Epoch ms at which it was called. */
  readonly called: number
}

export interface Judged {
  readonly starts: number
  /** Handlers that were killed while they ran. */
  readonly killed: number
  /** Most that ever ran at once of a key, were taken of a resource, were called within an interval; by limit. */
  readonly most: Readonly<Record<string, number>>
  /** Where a limit was exceeded. */
  readonly exceeded: readonly string[]
  /** Ids of the tasks of which a handler came to its end. */
  readonly ended: ReadonlySet<string>
}

/** A handler has begun; one line. */
export function startOf({ id, attempt, pid, name, input, at, called }: Start): string {
  return `start ${id} ${attempt} ${pid} ${name} ${at} ${called} ${JSON.stringify(input)}`
}

export function judge(path: string): Judged {
  return judgeLines(readJournal(path))
}

/** @param lines `start …`, `end id attempt at`, and `gone pid at`: that process was seen alive for the last time */
export function judgeLines(lines: readonly (readonly string[])[]): Judged {
  const starts: Start[] = []
  const ends = new Map<string, bigint>()
  const gone = new Map<number, bigint>()
  const ended = new Set<string>()
  for (const [what, first = '', second = '', third = '', name = '', at = '', called = '', input = ''] of lines) {
    if (what === 'gone') gone.set(Number(first), BigInt(second))
    else if (what === 'end') {
      ends.set(`${first} ${second}`, BigInt(third))
      ended.add(first)
    } else if (what === 'start')
      starts.push({
        id: first,
        attempt: Number(second),
        pid: Number(third),
        name: name as Name,
        input: JSON.parse(input),
        at: BigInt(at),
        called: Number(called),
      })
  }
  const exceeded: string[] = []
  const most: Record<string, number> = {}
  const hold = (limit: string, n: number, max: number, where: string): void => {
    most[limit] = Math.max(most[limit] ?? 0, n)
    if (n > max + 1e-9) exceeded.push(`${n} of ${max} of ${limit}: ${where}`)
  }

  let killed = 0
  /** What is taken of a limit, or given back. */
  const changes: { limit: string; max: number; at: bigint; by: number; id: string }[] = []
  for (const { id, attempt, pid, name, input, at } of starts) {
    const end = ends.get(`${id} ${attempt}`) ?? gone.get(pid)
    if (end === undefined) exceeded.push(`attempt ${attempt} of ${id} has no end, and nobody killed ${pid}`)
    if (!ends.has(`${id} ${attempt}`)) killed++
    // Perhaps it was seen for the last time before it wrote that down.
    const until = end === undefined || end < at ? at : end
    const take = (limit: string, max: number, by: number): void =>
      void changes.push({ limit, max, at, by, id }, { limit, max, at: until, by: -by, id })
    const { slots } = LIMITS[name]
    if (slots !== undefined) take(`slot ${name} ${input.slot}`, slots, 1)
    for (const [resource, n] of Object.entries(input.requires)) take(resource, RESOURCES[resource] ?? 0, n)
  }
  const taken = new Map<string, number>()
  for (const { limit, max, by, id } of changes.toSorted((a, b) => Number(a.at - b.at) || a.by - b.by)) {
    const now = (taken.get(limit) ?? 0) + by
    taken.set(limit, now)
    if (by > 0) hold(limit, now, max, id)
  }

  for (const name of Object.keys(LIMITS) as Name[]) {
    const { rate } = LIMITS[name]
    if (rate === undefined) continue
    const calls = starts.filter((start) => start.name === name)
    for (const key of new Set(calls.map(({ input }) => input.rate))) {
      const times = calls.filter(({ input }) => input.rate === key).map(({ called }) => called)
      for (const last of times) {
        const within = times.filter((time) => time > last - rate.interval && time <= last)
        hold(`rate ${name} ${key}`, within.length, rate.max, `within the ${rate.interval} ms before ${last}`)
      }
    }
  }
  return { starts: starts.length, killed, most, exceeded, ended }
}
