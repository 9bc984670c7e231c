/**
 * An hour of mixed work, watched: failures, retries, cancels, delays, keys, priorities, on memory and on a file. Nothing may
 * grow, nothing may stay, and of each task is known what became of it.
 *
 *   npm run soak                                    one hour, half of it on each engine
 *   npm run soak -- --minutes 2 --engine sqlite --seed 7
 *
 * What is expected of a task is drawn with it; what its events tell has to be that. Samples are taken after a collection
 * of garbage, once the first part (in which caches fill and the retention has nothing to remove) is over.
 */
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { BackgroundRunner, defineTask, memory, NonRetryableError } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    engine: { type: 'string', default: 'memory,sqlite' },
    rate: { type: 'string', default: '500' },
    seed: { type: 'string', default: String(Date.now() % 100_000) },
  },
})
const engines = flags.engine.split(',')
const seconds = (Number(flags.minutes) * 60) / engines.length
/** Tasks a second. */
const rate = Number(flags.rate)
if (!(seconds >= 10) || !(rate > 0)) throw new Error('--minutes has to be 0.2 or more for each engine, --rate above 0')

/** Of the time, before anything is judged. */
const WARM_UP = 0.3
/** How much a figure may rise from the first half of the samples to the second, beyond which it is no noise. */
const HEAP = { share: 0.1, least: 4 }
const RSS = { share: 0.15, least: 24 }
const FILE = { share: 0.2, least: 8 }
/** p99 of the event loop's delay, ms, while nothing else holds it. */
const LOOP = 60

const KINDS = [
  { name: 'plain', share: 0.7, ends: ['succeeded'] },
  { name: 'flaky', share: 0.12, ends: ['succeeded'] },
  { name: 'broken', share: 0.03, ends: ['failed'] },
  { name: 'refused', share: 0.05, ends: ['failed'] },
  // It may be quicker than who cancels it.
  { name: 'cancelled', share: 0.1, ends: ['cancelled', 'succeeded'] },
]

console.log(`seed ${flags.seed}: ${engines.join(', then ')}, ${seconds} s each, ${rate} tasks/s`)
let failed = false
for (const engine of engines) {
  const problems = await soak(engine, Number(flags.seed))
  for (const problem of problems) console.log(`✗ ${engine}: ${problem}`)
  failed ||= problems.length > 0
}
console.log(failed ? 'soak: failed' : 'soak: passed')
process.exitCode = failed ? 1 : 0

async function soak(engine, seed) {
  const random = generator(seed)
  const folder = mkdtempSync(join(tmpdir(), 'soak-'))
  const path = join(folder, 'tasks.db')
  const before = process.getActiveResourcesInfo().length
  /** id → the states that it may end in, one after the other: a retry makes it begin anew. */
  const open = new Map()
  const told = { submitted: 0, succeeded: 0, failed: 0, cancelled: 0, retrying: 0, wrong: 0, faults: 0 }
  const problems = []
  const wrong = (what) => {
    told.wrong++
    if (problems.length < 10) problems.push(what)
  }
  const runner = createRunner(engine, path, random)
  runner.on('error', (error) => {
    told.faults++
    wrong(`an error: ${error?.message}`)
  })
  const ended = (record) => {
    told[record.state]++
    const expected = open.get(record.id)
    if (expected === undefined) return wrong(`${record.id} ended as ${record.state}, once more than it should`)
    if (!expected.includes(record.state))
      wrong(`${record.id} (${record.input.kind}) ended as ${record.state}, not ${expected}`)
    open.delete(record.id)
  }
  for (const event of ['succeeded', 'failed', 'cancelled']) runner.on(event, ended)
  runner.on('retrying', () => told.retrying++)
  await runner.ready()

  const submit = async () => {
    const kind = pick(random, KINDS)
    const input = { kind: kind.name, fill: 'x'.repeat(Math.floor(random() * 500)) }
    const id = `${seed}-${told.submitted++}`
    open.set(id, kind.ends)
    await runner.submit('work', input, {
      id,
      priority: Math.floor(random() * 3),
      tags: [kind.name],
      ...(random() < 0.1 && { key: `key-${id}` }),
      ...(random() < 0.2 && { delay: Math.floor(random() * 2_000) }),
    })
    if (kind.name !== 'cancelled') return
    await sleep(random() * 50)
    await runner.cancel(id).catch((error) => {
      if (error.code !== 'INVALID_STATE') wrong(`cancel: ${error.message}`)
    })
  }

  const delays = monitorEventLoopDelay({ resolution: 5 })
  delays.enable()
  const samples = []
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1_000
  let next = 0
  while (elapsed() < seconds) {
    const due = Math.floor(elapsed() * rate)
    const batch = []
    while (told.submitted < due && batch.length < rate)
      batch.push(submit().catch((error) => wrong(`submit: ${error.message}`)))
    // Those that are cancelled wait for it: nobody waits for them here.
    await Promise.race([Promise.all(batch), sleep(20)])
    await sleep(5)
    if (elapsed() < next) continue
    next = elapsed() + Math.max(0.5, seconds / 120)
    const loop = delays.percentile(99) / 1e6
    globalThis.gc?.()
    const { heapUsed, rss } = process.memoryUsage()
    samples.push({ at: elapsed(), heap: mb(heapUsed), rss: mb(rss), file: mb(size(path)), open: open.size, loop })
    // What the collection itself held up is none of the runner's.
    await sleep(10)
    delays.reset()
  }
  await runner.onIdle()
  delays.disable()
  await sleep(100)
  const counts = await runner.counts()
  const report = await runner.close()
  await sleep(100)

  if (open.size > 0) wrong(`${open.size} tasks have not ended: ${[...open.keys()].slice(0, 5)}`)
  const all = told.succeeded + told.failed + told.cancelled
  if (all !== told.submitted) wrong(`${told.submitted} submitted, ${all} ended`)
  if (counts.queued + counts.scheduled + counts.running > 0) wrong(`counts at the end: ${JSON.stringify(counts)}`)
  if (report.pending + report.abandoned > 0) wrong(`close: ${JSON.stringify(report)}`)
  const left = process.getActiveResourcesInfo().length - before
  if (left > 0) wrong(`${left} handles are left: ${process.getActiveResourcesInfo()}`)
  const judged = samples.filter(({ at }) => at > WARM_UP * seconds)
  for (const [key, limit] of Object.entries({ heap: HEAP, rss: RSS, file: FILE })) {
    const [first, second] = halves(judged.map((sample) => sample[key]))
    if (second - first > Math.max(limit.least, limit.share * first))
      wrong(`${key} rises: ${first.toFixed(1)} to ${second.toFixed(1)} MB`)
  }
  const loop = median(judged.map((sample) => sample.loop))
  if (loop > LOOP) wrong(`the event loop is held up: p99 ${loop.toFixed(0)} ms`)
  print(engine, samples, told, judged)
  rmSync(folder, { recursive: true })
  return problems
}

function createRunner(engine, path, random) {
  return new BackgroundRunner({
    engine: engine === 'memory' ? memory() : sqlite({ path }),
    concurrency: 50,
    retention: { succeeded: '3s', cancelled: '3s', failed: '3s' },
    tasks: {
      work: defineTask({
        retry: { attempts: 3, backoff: { type: 'fixed', delay: 50 } },
        timeout: '2s',
        run: async ({ kind, fill }, { attempt, signal, progress, save }) => {
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

/** MB an hour, by least squares. */
function slope(samples, key) {
  const n = samples.length
  const x = samples.reduce((sum, { at }) => sum + at, 0) / n
  const y = samples.reduce((sum, sample) => sum + sample[key], 0) / n
  const over = samples.reduce((sum, sample) => sum + (sample.at - x) * (sample[key] - y), 0)
  const under = samples.reduce((sum, { at }) => sum + (at - x) ** 2, 0)
  return (over / under) * 3_600
}

function print(engine, samples, told, judged) {
  const rows = samples.filter((_, at) => at % Math.max(1, Math.ceil(samples.length / 12)) === 0)
  console.log(`\n${engine}: ${JSON.stringify(told)}`)
  console.log('      s   heap MB    rss MB   file MB      open  loop p99 ms')
  for (const { at, heap, rss, file, open, loop } of rows)
    console.log(
      [
        at.toFixed(0).padStart(7),
        ...[heap, rss, file].map((each) => each.toFixed(1).padStart(9)),
        String(open).padStart(9),
        loop.toFixed(1).padStart(12),
      ].join(' '),
    )
  const slopes = ['heap', 'rss', 'file'].map((key) => `${key} ${slope(judged, key).toFixed(1)}`)
  console.log(`slopes, MB an hour: ${slopes.join(', ')}`)
}
