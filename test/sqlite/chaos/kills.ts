/**
 * Kills processes that submit and work on one store, starts them again, and counts what became of every task that was
 * acknowledged. A seed decides who is killed when: half of the time at a moment that the process knows itself to be in,
 * otherwise from outside, whatever it is at.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, type TaskRecord } from 'background-runner'
import { engineAt, isOnServer } from '../../support/engine-at.js'
import { bundle } from '../support/bundle.js'
import { connect } from '../support/connection.js'
import { Random } from '../support/random.js'
import type { ChildSettings } from './child.js'
import { judge, noteIn, readJournal, recoveries, type Verdict } from './journal.js'
import { MOMENTS, type Moment, type Strike } from './moments.js'

/** Kills on one file; then it is worked off and counted, and the next one begins. */
const KILLS_A_FILE = 25
/** ms after which a process that has not come to its moment is killed from outside. */
const PATIENCE = 3_000
/** ms within which the last process must have worked off what is left, beside the lease of who was killed. */
const TIME_TO_WORK_OFF = 12_000

/** What SQLite cannot know: what is kept of the tasks beside them says the same. */
const MISCOUNTED = `SELECT name, state, sum(n) AS off
  FROM (SELECT name, state, n FROM counts UNION ALL SELECT name, state, -1 FROM tasks)
  GROUP BY name, state HAVING off <> 0`

export interface Plan {
  readonly folder: string
  readonly seed: number
  readonly kills: number
  /** Processes at work at a time; one of them is killed at a time. */
  readonly workers: number
  /** ms */
  readonly lease: number
  /** Where each round of this name is; without it, in a file. */
  readonly at?: (name: string) => string
}

export interface Report extends Verdict {
  readonly kills: number
  /** Kills at each moment; `outside` came at any. */
  readonly moments: Readonly<Record<string, number>>
  /** ms from `new BackgroundRunner` after a kill to `ready` and to the first claim, least first. */
  readonly ready: readonly number[]
  readonly claimed: readonly number[]
  /** ms from a kill to when what it ran begins again. */
  readonly begun: readonly number[]
  /** Files that `integrity_check` found damaged, and what the processes reported themselves. */
  readonly damaged: readonly string[]
  readonly faults: readonly string[]
}

export async function killAndCount(plan: Plan): Promise<Report> {
  const random = new Random(plan.seed)
  const program = await bundle(new URL('child.ts', import.meta.url))
  const reports: Report[] = []
  for (let done = 0; done < plan.kills; done += KILLS_A_FILE) {
    const name = `${plan.seed}-${reports.length}`
    const path = plan.at?.(name) ?? join(plan.folder, `${name}.db`)
    const journal = join(plan.folder, `${name}.txt`)
    const kills = Math.min(KILLS_A_FILE, plan.kills - done)
    reports.push(await new Round(program, path, journal, { ...plan, kills }, random).run())
  }
  return reports.reduce(sum)
}

/** The kills on one file, or on one prefix or name of a server. */
class Round {
  readonly #program: string
  readonly #path: string
  readonly #journal: string
  readonly #plan: Plan
  readonly #random: Random
  readonly #damaged: string[] = []

  constructor(program: string, path: string, journal: string, plan: Plan, random: Random) {
    this.#program = program
    this.#path = path
    this.#journal = journal
    this.#plan = plan
    this.#random = random
  }

  async run(): Promise<Report> {
    const { kills, workers } = this.#plan
    writeFileSync(this.#journal, '')
    // The first ones make the file: killed while they are at it.
    let n = 0
    const first = isOnServer(this.#path) ? 0 : Math.min(kills, 1 + Math.floor(kills / 12))
    for (; n < first; n++) {
      await this.#killed(this.#start({ moment: 'migration', after: this.#random.below(8) }))
    }
    const strikes = Array.from({ length: kills - n }, (_, i) => this.#strike(n + i))
    let children = Array.from({ length: Math.min(workers, strikes.length) }, () => this.#start(strikes.shift()))
    for (; n < kills; n++) {
      const victim = this.#random.of(children)
      if (n === kills - 1) await this.#hasSubmitted()
      await this.#killed(victim)
      await this.#check()
      children = children.filter((child) => child !== victim)
      if (strikes.length > 0) children.push(this.#start(strikes.shift()))
    }
    await this.#workOff()
    return this.#report()
  }

  /** @param n of the kill: the moments take turns. Of several processes one is killed at a time, so from outside. */
  #strike(n: number): Strike | undefined {
    const moment = MOMENTS[n % MOMENTS.length] as Moment
    if (moment === 'migration' || this.#plan.workers > 1 || isOnServer(this.#path) || this.#random.next() < 0.3)
      return undefined
    // Far enough apart that who was running at one kill has mostly ended before the next.
    if (moment === 'prune') return { moment, after: this.#random.below(20) }
    return { moment, after: moment === 'save' ? 20 + this.#random.below(80) : 100 + this.#random.below(400) }
  }

  #start(strike: Strike | undefined, submits = true): ChildProcess {
    const settings: ChildSettings = {
      path: this.#path,
      journal: this.#journal,
      seed: this.#random.below(2 ** 31),
      concurrency: 8,
      lease: this.#plan.lease,
      submits,
      strike,
    }
    return fork(this.#program, [JSON.stringify(settings)], {
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
  }

  /** Lets it come to its moment, or kills it from outside; some of them while they start. */
  async #killed(child: ChildProcess): Promise<void> {
    const meant = (JSON.parse(child.spawnargs.at(-1) ?? '') as ChildSettings).strike
    if (meant !== undefined) await Promise.race([exited(child), sleep(PATIENCE)])
    else if (this.#random.next() < 0.8) await Promise.race([once(child, 'message'), exited(child)])
    if (meant === undefined) await sleep(this.#random.next() * 250)
    if (child.exitCode !== null) throw new Error(`${this.#journal}: a process has ended by itself`)
    if (isGone(child)) return
    noteIn(this.#journal)('killing', child.pid ?? 0, Date.now())
    child.kill('SIGKILL')
    await exited(child)
  }

  /** Before the last kill there is something to lose, however busy the machine is. */
  async #hasSubmitted(): Promise<void> {
    for (let waited = 0; waited < PATIENCE; waited += 10) {
      if (readJournal(this.#journal).some(([what]) => what === 'acknowledged')) return
      await sleep(10)
    }
  }

  async #check(): Promise<void> {
    if (isOnServer(this.#path)) return
    const database = await connect(this.#path)
    const found = String(database.prepare('PRAGMA integrity_check').get()?.['integrity_check'])
    const made = database.prepare('PRAGMA user_version').get()?.['user_version'] !== 0
    const miscounted = made ? database.prepare(MISCOUNTED).all() : []
    database.close()
    if (found !== 'ok') this.#damaged.push(`${this.#path}: ${found}`)
    if (miscounted.length > 0) this.#damaged.push(`${this.#path}: counts are off by ${JSON.stringify(miscounted)}`)
  }

  async #workOff(): Promise<void> {
    const last = this.#start(undefined, false)
    await Promise.race([exited(last), sleep(TIME_TO_WORK_OFF + this.#plan.lease)])
    if (!isGone(last)) last.kill('SIGKILL') // what is left is stuck
    await exited(last)
    if (last.exitCode !== null && last.exitCode !== 0) throw new Error(`${this.#journal}: the last process failed`)
    await this.#check()
  }

  async #report(): Promise<Report> {
    const journal = readJournal(this.#journal)
    const spans = (of: string): number[] => journal.filter(([what]) => what === of).map((line) => Number(line[2]))
    const moments: Record<string, number> = {}
    for (const [what, moment = ''] of journal) {
      if (what === 'struck') moments[moment] = (moments[moment] ?? 0) + 1
      if (what === 'killing') moments['outside'] = (moments['outside'] ?? 0) + 1
    }
    return {
      ...judge(journal, await readAll(this.#path)),
      kills: this.#plan.kills,
      moments,
      ready: spans('ready'),
      claimed: spans('claimed'),
      begun: recoveries(journal),
      damaged: this.#damaged,
      faults: journal.filter(([what]) => what === 'fault').map((line) => line.slice(1).join(' ')),
    }
  }
}

function sum(a: Report, b: Report): Report {
  const moments = { ...a.moments }
  for (const [moment, n] of Object.entries(b.moments)) moments[moment] = (moments[moment] ?? 0) + n
  return {
    kills: a.kills + b.kills,
    moments,
    submitted: a.submitted + b.submitted,
    lost: [...a.lost, ...b.lost],
    stuck: [...a.stuck, ...b.stuck],
    ranTwice: a.ranTwice + b.ranTwice,
    wrong: [...a.wrong, ...b.wrong],
    crashed: a.crashed + b.crashed,
    ready: [...a.ready, ...b.ready],
    claimed: [...a.claimed, ...b.claimed],
    begun: [...a.begun, ...b.begun],
    damaged: [...a.damaged, ...b.damaged],
    faults: [...a.faults, ...b.faults],
  }
}

async function readAll(path: string): Promise<Map<string, TaskRecord>> {
  const tasks = { work: defineTask({ run: () => {} }) }
  const runner = new BackgroundRunner({ engine: engineAt(path), work: false, tasks })
  const records = new Map<string, TaskRecord>()
  for (let cursor: string | undefined; ; ) {
    const page = await runner.list({ limit: 1_000, ...(cursor !== undefined && { cursor }) })
    for (const record of page.tasks) records.set(record.id, record)
    if (page.next === undefined) break
    cursor = page.next
  }
  await runner.close()
  return records
}

const isGone = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null
const sleep = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

async function exited(child: ChildProcess): Promise<void> {
  if (!isGone(child)) await once(child, 'exit')
}
