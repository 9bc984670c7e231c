/**
 * An hour of mixed work, watched: failures, retries, cancels, delays, keys, priorities, on memory and on a file. Nothing may
 * grow, nothing may stay, and of each task is known what became of it.
 *
 *   npm run soak                                    one hour, half of it on each engine
 *   npm run soak -- --minutes 2 --engine sqlite --seed 7
 *
 * What is expected of a task is drawn with it; its runs and what its events tell have to be that. What grows is judged once
 * the first piece (in which caches fill and the retention has nothing to remove) is over. A seed repeats what is submitted;
 * how it then runs is up to the machine.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { BackgroundRunner, defineTask, memory, NonRetryableError } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { KINDS, Ledger } from './soak-ledger.mjs'

/** At the end of each, nothing more is submitted until all has ended and is forgotten: what the heap then holds, it keeps. */
const PIECES = 3
/** What the heap may keep after the first piece: bytes a task, or MB in all, which code that is compiled late takes. */
const HEAP = { task: 10, least: 0.75 }
/** How much a figure, MB, may rise from the first half of the samples to the second, beyond which it is no noise. */
const RSS = { share: 0.15, least: 24 }
const FILE = { share: 0.2, least: 8 }
/** p99 of the event loop's delay, ms, on a machine that is busy with other work as well. */
const LOOP = 100
/** Nothing of the runner holds the event loop for as long, ms; a busy machine may, so often, and once more each ten minutes. */
const STALL = { ms: 750, times: 1 }
/** ms that tasks are kept, and their keys with them. */
const KEPT = 1_000
/** So many keys are shared: each is asked for while its task is kept, and after. */
const KEYS = 20
/** While so many have not ended, no more are submitted: the machine cannot keep up. */
const MOST_OPEN = 1_000
/** ms within which all has to end once no more is submitted, to be forgotten then, and to be closed. */
const PATIENCE = 60_000
const LATE = Symbol('late')

const { engines, minutes, rate, seed } = readFlags()
const seconds = (minutes * 60) / engines.length
console.log(`seed ${seed}: ${engines.join(', then ')}, ${seconds} s each, ${rate} tasks/s`)
let failed = false
for (const engine of engines) {
  const problems = await soak(engine)
  for (const problem of problems) console.log(`✗ ${engine}: ${problem}`)
  failed ||= problems.length > 0
}
const again = `npm run soak -- --minutes ${minutes} --engine ${engines} --rate ${rate} --seed ${seed}`
console.log(`\nagain: ${again} (Node ${process.version}${commit()})`)
console.log(failed ? 'soak: failed' : 'soak: passed')
// What is left open has been told: it keeps nobody waiting.
process.exit(failed ? 1 : 0)

/** Ends the process with code 2 where one of them is wrong. */
function readFlags() {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '60' },
        engine: { type: 'string', default: 'memory,sqlite' },
        rate: { type: 'string', default: '500' },
        seed: { type: 'string', default: String(Date.now() % 100_000) },
      },
    })
    const number = (name, form, least, most) => {
      const value = form.test(values[name]) ? Number(values[name]) : Number.NaN
      if (value >= least && value <= most) return value
      throw new Error(`--${name} has to be a number from ${least} to ${most}, not '${values[name]}'`)
    }
    const engines = values.engine.split(',')
    if (!engines.every((engine) => ['memory', 'sqlite'].includes(engine)))
      throw new Error(`--engine has to be memory, sqlite or memory,sqlite, not '${values.engine}'`)
    if (globalThis.gc === undefined) throw new Error('node needs --expose-gc, as in npm run soak')
    return {
      engines,
      minutes: number('minutes', /^\d+(\.\d+)?$/, 0.5 * engines.length, 10_000),
      rate: number('rate', /^\d+$/, 1, 10_000),
      seed: number('seed', /^\d+$/, 0, 0xffff_ffff),
    }
  } catch (error) {
    console.error(`soak: ${error.message.split('\n')[0]}`)
    process.exit(2)
  }
}

/** @returns what is wrong */
async function soak(engine) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'soak-')))
  const ledger = new Ledger(KEPT)
  // What the first runner opens for the whole process, such as the pipes of a driver, is no leak.
  await openOnce(engine, join(folder, 'first.db'))
  const before = openNow().filter((each) => !each.startsWith(folder))
  const { samples, quiet, held } = await work(engine, join(folder, 'tasks.db'), ledger)
  const left = await leftOpen(before)
  const whose = held === undefined ? 'left' : 'left by a runner that is closed'
  if (left.length > 0) ledger.wrong(`${left.length} handles or files are ${whose}: ${left.slice(0, 10)}`)
  judge(samples, quiet, ledger)
  print(engine, samples, quiet, ledger.told)
  rmSync(folder, { recursive: true, force: true })
  return ledger.problems
}

/** Submits and takes samples, piece by piece; then closes, and reconciles. */
async function work(engine, path, ledger) {
  const { told } = ledger
  const wrong = (what) => ledger.wrong(what)
  const runner = createRunner(engine, path, ledger)
  ledger.listen(runner)
  await runner.ready()

  const random = generator(seed)
  const submit = async (kind = pick(random, KINDS)) => {
    const id = `${seed}-${told.submitted}`
    const input = { kind: kind.name, fill: 'x'.repeat(Math.floor(random() * 500)) }
    const which = random()
    const key = which < 0.05 ? `key-${id}` : which < 0.1 ? `key-${Math.floor(random() * KEYS)}` : undefined
    const patience = random() * 50
    const options = {
      id,
      priority: Math.floor(random() * 3),
      tags: [kind.name],
      ...(key !== undefined && { key }),
      ...(random() < 0.2 && { delay: Math.floor(random() * 1_000) }),
    }
    ledger.submitted(id, kind)
    const handle = await runner.submit('work', input, options)
    if (handle.deduplicated) return ledger.deduplicated(id, key, handle.id)
    if (kind.name !== 'cancelled') return
    await sleep(patience)
    await runner.cancel(id).catch((error) => {
      if (!['INVALID_STATE', 'TASK_NOT_FOUND'].includes(error.code)) wrong(`cancel: ${error.message}`)
    })
  }

  const delays = monitorEventLoopDelay({ resolution: 5 })
  delays.enable()
  const samples = []
  const quiet = []
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1_000
  const sample = async (among) => {
    // By then it is noted what has held the loop right before.
    await sleep(10)
    const loop = { p99: delays.percentile(99) / 1e6, most: delays.max / 1e6 }
    globalThis.gc()
    const { heapUsed, rss } = process.memoryUsage()
    const sizes = { heap: mb(heapUsed), rss: mb(rss), file: mb(size(path)) }
    among.push({ at: elapsed(), submitted: told.submitted, ...sizes, open: ledger.open, loop })
    // What the collection itself held up is none of the runner's.
    await sleep(10)
    delays.reset()
  }
  for (let piece = 1; piece <= PIECES; piece++) {
    let last = elapsed()
    let next = last
    let owed = 0
    while (last < (seconds * piece) / PIECES) {
      await sleep(5)
      const now = elapsed()
      owed = Math.min(owed + (now - last) * rate, MOST_OPEN - ledger.open)
      for (; owed >= 1; owed--) submit().catch((error) => wrong(`submit: ${error.message}`))
      last = now
      if (now < next) continue
      next = now + Math.max(0.5, seconds / 120)
      await sample(samples)
    }
    const unrest = await settle()
    if (unrest !== undefined) {
      wrong(unrest)
      break
    }
    await sample(quiet)
  }
  delays.disable()
  const report = await within(PATIENCE, runner.close({ deadline: '5s' }))
  if (report === LATE || report.pending + report.abandoned > 0) wrong(`close: ${JSON.stringify(report)}`)
  const all = told.succeeded + told.failed + told.cancelled + told.deduplicated
  if (all !== told.submitted) wrong(`${told.submitted} submitted, ${all} ended or deduplicated`)
  // node:sqlite closes its files at once; libsql only once its statements are collected, and with them the runner.
  return { samples, quiet, held: process.getBuiltinModule?.('node:sqlite') === undefined ? undefined : runner }

  /** Until all has ended and is forgotten. @returns what keeps it from that */
  async function settle() {
    if ((await within(PATIENCE, runner.onIdle())) === LATE) return `not idle in time: ${await whatIsOpen()}`
    if ((await within(PATIENCE, forgotten())) === LATE) return `not forgotten in time: ${await whatIsOpen()}`
    if (ledger.open > 0) return `idle, but some have not ended: ${await whatIsOpen()}`
  }

  /** All but the last: the retention looks a second after a task ends. */
  async function forgotten() {
    let kept
    do {
      await submit(KINDS[0])
      await sleep(KEPT + 500)
      kept = Object.values(await runner.counts()).reduce((sum, count) => sum + count)
    } while (kept > 1)
  }

  async function whatIsOpen() {
    const counts = await within(1_000, runner.counts())
    const some = ledger.someOpen().map(async ({ id, kind, runs }) => {
      const record = await within(1_000, runner.status(id))
      return `${id} (${kind}, ${runs} runs) ${record?.state ?? 'unknown'}`
    })
    return [`counts ${JSON.stringify(counts)}, ${ledger.open} open`, ...(await Promise.all(some))].join('; ')
  }
}

async function openOnce(engine, path) {
  const runner = createRunner(engine, path, new Ledger(KEPT))
  await runner.ready()
  await sleep(100) // by then it watches the file
  await runner.close()
}

function createRunner(engine, path, ledger) {
  const random = generator(seed + 1)
  return new BackgroundRunner({
    engine: engine === 'memory' ? memory() : sqlite({ path }),
    concurrency: 50,
    retention: { succeeded: KEPT, cancelled: KEPT, failed: KEPT },
    tasks: {
      work: defineTask({
        retry: { attempts: 3, backoff: { type: 'fixed', delay: 50 } },
        timeout: '10s',
        run: async ({ kind, fill }, { id, attempt, signal, progress, save }) => {
          ledger.ran(id, attempt)
          if (random() < 0.3) await sleep(random() * 30, undefined, { signal })
          if (random() < 0.1) progress(0.5)
          if (random() < 0.05) await save({ attempt })
          if (kind === 'flaky' && attempt < 3) throw new Error('not yet')
          if (kind === 'broken') throw new Error('never')
          if (kind === 'refused') throw new NonRetryableError('no')
          return { length: fill.length }
        },
      }),
    },
  })
}

/** Adds what is wrong with the figures. */
function judge(samples, quiet, ledger) {
  const kept = growth(quiet)
  if (kept !== undefined && kept.megabytes > Math.max(mb(HEAP.task * kept.tasks), HEAP.least))
    ledger.wrong(`the heap keeps ${kept.words}`)
  const judged = samples.filter(({ at }) => at > seconds / PIECES)
  for (const [key, limit] of Object.entries({ rss: RSS, file: FILE })) {
    const [first, second] = halves(judged.map((sample) => sample[key]))
    if (second - first > Math.max(limit.least, limit.share * first))
      ledger.wrong(`${key} rises: ${first.toFixed(1)} to ${second.toFixed(1)} MB`)
  }
  const p99 = median(judged.map(({ loop }) => loop.p99))
  if (p99 > LOOP) ledger.wrong(`the event loop is held up: p99 ${p99.toFixed(0)} ms`)
  const stalls = [...samples, ...quiet].map(({ loop }) => loop.most).filter((ms) => ms > STALL.ms)
  if (stalls.length > STALL.times + Math.floor(seconds / 600))
    ledger.wrong(`the event loop stood still: ${stalls.map((ms) => ms.toFixed(0)).join(', ')} ms`)
}

/** What the heap has kept since the first piece; undefined where the soak has not come further. */
function growth(quiet) {
  if (quiet.length < 2) return
  const tasks = quiet.at(-1).submitted - quiet[0].submitted
  const megabytes = quiet.at(-1).heap - quiet[0].heap
  const each = (megabytes * 1_048_576) / tasks
  return { tasks, megabytes, words: `${megabytes.toFixed(2)} MB of ${tasks} tasks, ${each.toFixed(1)} bytes each` }
}

/** What the promise gives; `LATE` where it gives nothing within `ms`. */
async function within(ms, promise) {
  const limit = new AbortController()
  try {
    return await Promise.race([promise, sleep(ms, LATE, { signal: limit.signal })])
  } finally {
    limit.abort()
  }
}

/** What is open and was not before; what only garbage keeps open has 3 s. */
async function leftOpen(before) {
  for (let turn = 0; ; turn++) {
    globalThis.gc()
    const rest = [...before]
    const left = openNow().filter((each) => {
      const at = rest.indexOf(each)
      if (at >= 0) rest.splice(at, 1)
      return at < 0
    })
    if (left.length === 0 || turn === 30) return left
    await sleep(100)
  }
}

/** Handles and, on Linux, files. */
function openNow() {
  const files = process.platform === 'linux' ? readdirSync('/proc/self/fd') : []
  const targets = files.map((file) => {
    try {
      return readlinkSync(`/proc/self/fd/${file}`)
    } catch {
      return 'the list itself'
    }
  })
  return [...process.getActiveResourcesInfo(), ...targets]
}

/** `, commit …`; nothing where there is no git. */
function commit() {
  try {
    const cwd = fileURLToPath(new URL('.', import.meta.url))
    const options = { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }
    return `, commit ${execFileSync('git', ['describe', '--always', '--dirty', '--exclude', '*'], options).trim()}`
  } catch {
    return ''
  }
}

function pick(random, kinds) {
  let rest = random()
  for (const kind of kinds) {
    rest -= kind.share
    if (rest < 0) return kind
  }
  return kinds[0]
}

/** mulberry32 */
function generator(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

function size(path) {
  return ['', '-wal'].reduce((sum, end) => sum + (existsSync(path + end) ? statSync(path + end).size : 0), 0)
}

function mb(bytes) {
  return bytes / 1_048_576
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

function halves(values) {
  const half = Math.floor(values.length / 2)
  return [median(values.slice(0, half)), median(values.slice(half))]
}

function print(engine, samples, quiet, told) {
  const rows = samples.filter((_, at) => at % Math.max(1, Math.ceil(samples.length / 12)) === 0)
  console.log(`\n${engine}: ${JSON.stringify(told)}`)
  console.log('      s   heap MB    rss MB   file MB      open  loop p99 ms   most ms')
  for (const { at, heap, rss, file, open, loop } of rows)
    console.log(
      [
        at.toFixed(0).padStart(7),
        ...[heap, rss, file].map((each) => each.toFixed(1).padStart(9)),
        String(open).padStart(9),
        loop.p99.toFixed(1).padStart(12),
        loop.most.toFixed(1).padStart(9),
      ].join(' '),
    )
  console.log(`the heap keeps ${growth(quiet)?.words ?? 'what nobody knows'}`)
  const stalls = [...samples, ...quiet].map(({ loop }) => loop.most)
  console.log(`longest stall of the event loop: ${Math.max(...stalls).toFixed(0)} ms`)
}
