/** Limits on one file for several processes that are killed again and again: none is ever exceeded, and all of it is done. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, type TaskRecord } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { afterAll, describe, it } from 'vitest'
import { readJournal } from './chaos/journal.js'
import { bundle } from './support/bundle.js'
import { connect } from './support/connection.js'
import type { LimitsChildSettings } from './support/limits-child.js'
import {
  type Input,
  judge,
  judgeLines,
  LIMITS,
  limitsOf,
  type Name,
  RESOURCES,
  startOf,
} from './support/limits-journal.js'
import { Random } from './support/random.js'

const KILLS = process.env['CI'] === 'true' ? 25 : 6
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1_000_000))
const PROCESSES = 4
const TASKS_A_KILL = 40
/** ms that some handlers take. */
const LONG = 100
/** ms within which what is left after the last kill must be worked off. */
const TIME_TO_WORK_OFF = 15_000
console.log(`limits under kills: SEED=${SEED}`)

const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
const children = new Set<ChildProcess>()
afterAll(async () => {
  for (const child of children) await end(child)
  rmSync(folder, { recursive: true })
})

async function end(child: ChildProcess): Promise<void> {
  children.delete(child)
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Whether it has not ended yet; where nobody can tell, it may have. */
function isSeenAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}

/** Kills it; the journal says until when it was seen alive, which is when others may first have known of its death. */
async function kill(child: ChildProcess, journal: string): Promise<void> {
  const pid = child.pid as number
  let alive = process.hrtime.bigint()
  child.kill('SIGKILL')
  for (let now = process.hrtime.bigint(); isSeenAlive(pid); now = process.hrtime.bigint()) alive = now
  appendFileSync(journal, `gone ${pid} ${alive}\n`)
  await end(child)
}

/** Whether a handler of this process runs that takes long, as far as is written down. */
function isAtWork(pid: number, journal: string): boolean {
  const running = new Set<string>()
  for (const [what, id, attempt, of, , , , input = ''] of readJournal(journal)) {
    if (what === 'start' && Number(of) === pid && (JSON.parse(input) as Input).ms === LONG)
      running.add(`${id} ${attempt}`)
    else if (what === 'end') running.delete(`${id} ${attempt}`)
  }
  return running.size > 0
}

function inputs(random: Random): [Name, Input][] {
  const needs = [{}, { cpu: 1 }, { cpu: 1 }, { cpu: 2 }, { gpu: 1 }, { cpu: 0.5, gpu: 1 }, { cpu: 3 }]
  return Array.from({ length: TASKS_A_KILL }, () => [
    random.of(['keyed', 'keyed', 'rated', 'both'] as const),
    {
      slot: random.of(['a', 'a', 'b', 'c', 'd']),
      rate: random.of(['x', 'x', 'y']),
      requires: random.of(needs),
      ms: random.next() < 0.15 ? LONG : random.below(25),
      fails: random.next() < 0.1,
    },
  ])
}

/** One who only submits. */
function submitter(path: string) {
  const task = (name: Name) => defineTask({ ...limitsOf(name), retry: { attempts: 2 }, run: (_input: Input) => {} })
  const tasks = { keyed: task('keyed'), rated: task('rated'), both: task('both') }
  return new BackgroundRunner({ tasks, engine: sqlite({ path }), work: false, resources: RESOURCES })
}

const isOver = ({ state, error, attempts }: TaskRecord): boolean =>
  state === 'succeeded' ||
  (error?.code === 'CRASHED' && attempts.slice(-3).every(({ outcome }) => outcome === 'crashed'))

describe('limits under kill -9', () => {
  it('of one of four processes, again and again: none is exceeded, what the dead held comes back, all of it runs', {
    timeout: 90_000,
  }, async () => {
    const random = new Random(SEED)
    const path = join(folder, 'tasks.db')
    const journal = join(folder, 'journal.txt')
    writeFileSync(journal, '')
    const program = await bundle(new URL('support/limits-child.ts', import.meta.url))
    const start = async (): Promise<ChildProcess> => {
      const settings: LimitsChildSettings = { path, journal, concurrency: 4 }
      const child = fork(program, [JSON.stringify(settings)], {
        execArgv: [],
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      })
      children.add(child)
      await Promise.race([once(child, 'message'), once(child, 'exit')])
      assert.equal(child.exitCode, null, `a process ended by itself: ${readFileSync(journal, 'utf8').slice(-500)}`)
      return child
    }
    const runner = submitter(path)
    const ids: string[] = []
    const submit = async (): Promise<void> => {
      for (const [name, input] of inputs(random))
        ids.push((await runner.submit(name, input, { priority: random.below(2) })).id)
    }

    await submit()
    const working = await Promise.all(Array.from({ length: PROCESSES }, start))
    for (let n = 0; n < KILLS; n++) {
      await submit()
      await new Promise((resolve) => setTimeout(resolve, 100 + random.below(250)))
      // Mostly one that holds something.
      const busy = working.findIndex(({ pid }) => n % 4 > 0 && isAtWork(pid as number, journal))
      const victim = busy < 0 ? random.below(PROCESSES) : busy
      await kill(working[victim] as ChildProcess, journal)
      working[victim] = await start()
    }
    let isIdle = false
    const idle = runner.onIdle().then(() => {
      isIdle = true
    })
    let overdue: NodeJS.Timeout | undefined
    const late = new Promise((resolve) => {
      overdue = setTimeout(resolve, TIME_TO_WORK_OFF)
    })
    await Promise.race([idle, late])
    clearTimeout(overdue)
    const records = await Promise.all(ids.map((id) => runner.status(id) as Promise<TaskRecord>))
    const left = isIdle ? '' : `after ${TIME_TO_WORK_OFF} ms ${JSON.stringify(await runner.counts())} is left`
    for (const child of working) await kill(child, journal)
    await runner.close({ deadline: 0 })

    const { starts, killed, most, exceeded, ended } = judge(journal)
    const report = `SEED=${SEED} repeats it: ${starts} calls, ${killed} killed, at most ${JSON.stringify(most)}`
    assert.equal(left, '', report)
    assert.deepEqual(exceeded, [], report)
    assert.deepEqual(
      readJournal(journal).filter(([what]) => what === 'fault'),
      [],
      report,
    )
    assert.deepEqual(
      records.filter((record) => !isOver(record)),
      [],
      report,
    )
    const unrun = records.filter(({ id, state }) => state === 'succeeded' && !ended.has(id))
    assert.deepEqual(unrun, [], report)
    // Whether there was anything to exceed; how many calls an interval sees, a slow machine has a say in.
    for (const [limit, least] of [
      ['slot keyed a', LIMITS.keyed.slots],
      ['slot both a', LIMITS.both.slots],
      ['rate rated x', LIMITS.rated.rate.max / 2],
      ['cpu', RESOURCES['cpu']],
      ['gpu', RESOURCES['gpu']],
    ] as const)
      assert.ok((most[limit] ?? 0) >= Number(least), `${limit} was used. ${report}`)
    assert.ok(killed > 0, `somebody was killed while a handler ran. ${report}`)
    const database = await connect(path)
    assert.equal(database.prepare('PRAGMA integrity_check').get()?.['integrity_check'], 'ok')
    assert.equal(database.prepare('SELECT count(*) AS n FROM lanes').get()?.['n'], 0, 'no lane is left behind')
    database.close()
  })
})

describe('who counts what the handlers did', () => {
  const input: Input = { slot: 'a', rate: 'x', requires: {}, ms: 0, fails: false }
  const begun = (id: string, at: number, more: Partial<Input> = {}, name: Name = 'both', pid = 7): string =>
    startOf({ id, attempt: 1, pid, name, input: { ...input, ...more }, at: BigInt(at), called: at })
  const exceeded = (...lines: string[]): number => judgeLines(lines.map((line) => line.split(' '))).exceeded.length

  it('finds too many of a key, and those that were killed among them', () => {
    assert.equal(exceeded(begun('1', 10), 'end 1 1 20', begun('2', 20), 'end 2 1 30'), 0)
    assert.equal(exceeded(begun('1', 10), 'end 1 1 21', begun('2', 20), 'end 2 1 30'), 1)
    assert.equal(exceeded(begun('1', 10), 'end 1 1 21', begun('2', 20, { slot: 'b' }), 'end 2 1 30'), 0)
    assert.equal(exceeded(begun('1', 10), 'gone 7 19', begun('2', 20, {}, 'both', 8), 'end 2 1 30'), 0)
    assert.equal(exceeded(begun('1', 10), begun('2', 20, {}, 'both', 8), 'end 2 1 30', 'gone 7 25'), 1)
    assert.equal(exceeded(begun('1', 10)), 1, 'nobody killed it')
  })

  it('finds too much of a resource', () => {
    const lines = (cpu: number): string[] => [
      begun('1', 10, { requires: { cpu: 2 } }, 'rated'),
      begun('2', 20, { requires: { cpu } }, 'rated'),
      ...['end 1 1 30', 'end 2 1 30'],
    ]
    assert.deepEqual([exceeded(...lines(1)), exceeded(...lines(1.5))], [0, 1])
  })

  it('finds too many calls in any interval', () => {
    const lines = (last: number): string[] =>
      [0, 10, 20, 30, 40, 50, last].flatMap((at, i) => [begun(`${i}`, at, {}, 'rated'), `end ${i} 1 ${at}`])
    assert.deepEqual([exceeded(...lines(150)), exceeded(...lines(149))], [0, 1])
  })
})
