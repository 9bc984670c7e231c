/**
 * Kills processes that submit and work on one file, at moments that a seed decides, starts them again, and counts what
 * became of every task that was acknowledged.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BackgroundRunner, defineTask, type TaskRecord } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { loadDriver } from '../../../src/sqlite/driver.js'
import type { ChildSettings } from './child.js'

const CHILD = fileURLToPath(new URL('child.ts', import.meta.url))

export interface Plan {
  readonly folder: string
  readonly seed: number
  readonly kills: number
  /** Processes at work at a time; one of them is killed at a time. */
  readonly workers: number
  readonly lease: number
}

export interface Report {
  readonly seed: number
  readonly kills: number
  readonly submitted: number
  /** Acknowledged, and not there any more. */
  readonly lost: number
  /** Acknowledged, and not at its end although all is drained. */
  readonly stuck: number
  /** Begun twice with the same attempt, or again although it had ended and was not running at a kill. */
  readonly ranTwiceWrongly: number
  /** Begun again because it was running when its process was killed. */
  readonly ranTwice: number
  /** ms from the start of a process after a kill to its being ready: p50, p99. */
  readonly recovery: readonly [number, number]
  readonly integrity: string
  readonly faults: readonly string[]
}

export async function killAndCount(plan: Plan): Promise<Report> {
  const random = mulberry32(plan.seed)
  const path = join(plan.folder, `kills-${plan.seed}.db`)
  const journal = join(plan.folder, `kills-${plan.seed}.txt`)
  writeFileSync(journal, '')
  const recovery: number[] = []
  const start = async (more: Partial<ChildSettings>): Promise<ChildProcess> => {
    const settings: ChildSettings = {
      path,
      journal,
      seed: Math.floor(random() * 2 ** 31),
      concurrency: 8,
      lease: plan.lease,
      submits: true,
      works: true,
      drains: false,
      ...more,
    }
    const child = fork(CHILD, [JSON.stringify(settings)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    return child
  }

  let children = await Promise.all(Array.from({ length: plan.workers }, () => start({})))
  for (let kill = 0; kill < plan.kills; kill++) {
    const at = Math.floor(random() * children.length)
    const victim = children[at] as ChildProcess
    // Some are killed while they start, most while they work.
    if (random() < 0.8) await ready(victim)
    await sleep(random() * 250)
    victim.kill('SIGKILL')
    if (victim.exitCode === null && victim.signalCode === null) await once(victim, 'exit')
    const since = performance.now()
    const next = await start({})
    void ready(next).then(() => recovery.push(performance.now() - since))
    children = children.with(at, next)
  }
  for (const child of children) {
    await ready(child)
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  const last = await start({ submits: false, drains: true })
  const [code] = (await once(last, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`the last process ended with ${code}`)
  return {
    ...(await count(path, journal)),
    seed: plan.seed,
    kills: plan.kills + plan.workers,
    recovery: quantiles(recovery),
  }
}

async function ready(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || (child as { told?: true }).told) return
  await Promise.race([once(child, 'message'), once(child, 'exit')])
  ;(child as { told?: true }).told = true
}

async function count(path: string, journal: string): Promise<Omit<Report, 'seed' | 'kills' | 'recovery'>> {
  const lines = readFileSync(journal, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' '))
  const acknowledged = lines.filter(([what]) => what === 'acknowledged').map(([, id]) => id as string)
  const records = await readAll(path)
  const lost = acknowledged.filter((id) => !records.has(id))
  const stuck = [...records.values()].filter(({ state }) => state !== 'succeeded')
  const begun = new Map<string, number>()
  const ended = new Set<string>()
  let ranTwice = 0
  let ranTwiceWrongly = 0
  for (const [what, id = '', attempt] of lines) {
    const key = `${id} ${attempt}`
    if (what === 'begin') {
      const before = begun.get(id)
      if (before !== undefined) {
        // Its attempt before must have ended by failing, or have been cut off by a kill.
        if (before === Number(attempt)) ranTwiceWrongly++
        else if (!ended.has(`${id} ${before}`)) ranTwice++
        else if (records.get(id)?.attempts.find((each) => each.number === before)?.outcome === 'succeeded')
          ranTwiceWrongly++
        else if (records.get(id)?.attempts.find((each) => each.number === before)?.outcome === 'crashed') ranTwice++
      }
      begun.set(id, Number(attempt))
    }
    if (what === 'end') ended.add(key)
  }
  const open = await loadDriver()
  const database = open(path)
  const integrity = String(database.prepare('PRAGMA integrity_check').get()?.['integrity_check'])
  database.close()
  const faults = lines.filter(([what]) => what === 'fault').map((line) => line.slice(1).join(' '))
  return {
    submitted: acknowledged.length,
    lost: lost.length,
    stuck: stuck.length,
    ranTwice,
    ranTwiceWrongly,
    integrity,
    faults,
  }
}

async function readAll(path: string): Promise<Map<string, TaskRecord>> {
  const runner = new BackgroundRunner({
    engine: sqlite({ path }),
    work: false,
    tasks: { work: defineTask({ run: () => {} }) },
  })
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

function quantiles(values: readonly number[]): [number, number] {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (q: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0)
  return [at(0.5), at(0.99)]
}

function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
