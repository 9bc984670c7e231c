/**
 * What many workers do to one file and to one Redis: measured with some real processes, on SQLite also with rows that stand in
 * for the others, and reckoned for 10, 100 and 1 000.
 *
 *   node bench/scale/run.mjs [--engines sqlite,redis] [--sqlite 1,10,30] [--redis 1,10,100] [--seconds 10] [--docs]
 *
 * What it measures goes into results.json beside it, what it does not measure this time stays there; `--docs` writes the
 * tables of that into docs/scaling.md, `--engines ''` nothing but them. Takes some seven minutes, and 8 GB of memory.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startChild } from '../child.mjs'
import { withFile } from '../database.mjs'
import { library } from '../library.mjs'
import { engineOf, LEASE } from './engines.mjs'
import { startRedis } from './redis-server.mjs'
import { tables } from './tables.mjs'

const DOCS = new URL('../../docs/scaling.md', import.meta.url)
const WORKER = new URL('./worker.mjs', import.meta.url)
const CROWD = new URL('./crowd.mjs', import.meta.url)
const RESULTS = new URL('./results.json', import.meta.url)
/** ms until what was set going has come to rest: the last look for locks of the dead comes a third of a lease later. */
const REST = LEASE / 3 + 2_000
/** Tasks of a backlog, and before it for warming up. */
const TASKS = 5_000
/** Backlogs, of which the median counts. */
const ROUNDS = 3
/** Tasks a second that arrive one by one. */
const RATE = 20
/** As many as a worker has slots. */
const SLOTS = 10

const { values: flags } = parseArgs({
  options: {
    engines: { type: 'string', default: 'sqlite,redis' },
    sqlite: { type: 'string', default: '1,10,30' },
    redis: { type: 'string', default: '1,10,100' },
    seconds: { type: 'string', default: '10' },
    docs: { type: 'boolean', default: false },
  },
})
const seconds = Number(flags.seconds)
const { BackgroundRunner, defineTask } = await import(library.href)

const results = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : {}
if (flags.engines.includes('sqlite'))
  keep('sqlite', { real: await onFiles(countsOf(flags.sqlite)), crowd: await inCrowds() })
if (flags.engines.includes('redis')) keep('redis', { real: await onRedis(countsOf(flags.redis)) })

const text = tables(results)
console.log(text)
if (flags.docs) {
  const docs = readFileSync(DOCS, 'utf8')
  const [from, to] = ['begin', 'end'].map((mark) => docs.indexOf(`<!-- scale:${mark} -->`))
  if (from < 0 || to < from) throw new Error(`${DOCS.pathname} has no place for the tables`)
  writeFileSync(DOCS, `${docs.slice(0, from)}<!-- scale:begin -->\n\n${text}\n\n${docs.slice(to)}`)
}

function countsOf(flag) {
  return flag.split(',').map(Number)
}

function keep(engine, measured) {
  const load = os.loadavg()[0].toFixed(1)
  const machine = `${os.availableParallelism()} shared cores of ${os.cpus()[0].model}, Node ${process.versions.node}`
  results[engine] = { machine, cores: os.availableParallelism(), load, lease: LEASE, slots: SLOTS, ...measured }
  writeFileSync(RESULTS, `${JSON.stringify(results, rounded, 2)}\n`)
}

function rounded(_, value) {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value
}

async function onFiles(counts) {
  const real = {}
  for (const count of counts) {
    real[count] = await withFile((path) => together('sqlite', path, count))
    say(`sqlite, ${count} workers`, real[count])
  }
  return real
}

async function inCrowds() {
  const crowds = {}
  for (const size of [10, 100, 1_000]) {
    crowds[size] = await withFile((path) => inCrowd(path, size))
    say(`one worker of ${size} on a file`, crowds[size])
  }
  return crowds
}

async function onRedis(counts) {
  const real = {}
  for (const count of counts) {
    const server = await startRedis()
    try {
      real[count] = await together('redis', server.url, count, server.look)
    } finally {
      await server.stop()
    }
    say(`Redis, ${count} workers`, real[count])
  }
  return real
}

function say(what, figures) {
  process.stderr.write(`${what}: ${JSON.stringify(figures)}\n`)
}

/** Real workers: with nothing to do, with all slots taken, with a task now and then, with a backlog. @param look at Redis */
async function together(engine, place, count, look = async () => ({ cpu: 0, connections: 0, calls: {} })) {
  const env = { ENGINE: engine, PLACE: place }
  const before = await look()
  const base = engine === 'redis' ? await alone(look) : 0
  const workers = []
  try {
    for (let i = 0; i < count; i++) workers.push(await startChild(WORKER.pathname, env))
    const all = (question) => Promise.all(workers.map(({ ask }) => ask(question)))
    const sum = async (question) => (await all(question)).reduce((sum, n) => sum + n, 0)
    const connections = (await look()).connections - before.connections

    /** What `work` costs all workers, and Redis. */
    const during = async (work) => {
      const [wakes, cpu, redis, start] = [await sum('wakes'), await sum('cpu'), await look(), performance.now()]
      await work()
      const wall = (performance.now() - start) / 1_000
      const after = await look()
      const called = (name) => (after.calls[name] ?? 0) - (redis.calls[name] ?? 0)
      return {
        wall,
        cpu: (await sum('cpu')) - cpu,
        wakes: (await sum('wakes')) - wakes,
        redisCpu: Math.max(0, after.cpu - redis.cpu - base * wall),
        scripts: called('evalsha'),
        waits: called('bzpopmin'),
      }
    }
    const aSecond = ({ wall, ...spent }) =>
      Object.fromEntries(Object.entries(spent).map(([key, value]) => [key, value / wall / count]))
    const aTask = ({ wall, ...spent }, tasks) =>
      Object.fromEntries(Object.entries({ ...spent, wall: wall * 1e6 }).map(([key, value]) => [key, value / tasks]))

    await withSubmitter(engine, place, (submitter) => drained(submitter, sum))
    await sleep(REST)
    const idle = aSecond(await during(() => sleep(seconds * 1_000)))

    return await withSubmitter(engine, place, async (submitter) => {
      const few = await during(async () => {
        for (let i = 0; i < RATE * seconds; i++) {
          await submitter.submit('noop')
          await sleep(1_000 / RATE)
        }
      })
      // Without what they would have taken anyhow.
      const anyhow = (key) => idle[key] * few.wall * count
      const beyond = Object.fromEntries(
        Object.entries(few).map(([key, value]) => [key, key === 'wall' ? value : Math.max(0, value - anyhow(key))]),
      )
      const backlogs = []
      for (let round = 0; round < ROUNDS; round++) backlogs.push(await during(() => drained(submitter, sum)))
      const backlog = backlogs.sort((a, b) => a.wall - b.wall)[Math.floor(ROUNDS / 2)]
      const measured = {
        connections: connections / count,
        memory: (await sum('memory')) / count,
        idle,
        few: aTask(beyond, RATE * seconds),
        backlog: aTask(backlog, TASKS),
      }
      if (engine === 'sqlite') return measured // where what runs costs nothing while it runs
      await submitter.submitMany('waiting', Array(count * SLOTS).fill({ ms: 1e9 }))
      await sleep(1_000)
      return { ...measured, held: aSecond(await during(() => sleep(seconds * 1_000))) }
    })
  } finally {
    await Promise.all(workers.map(({ stop }) => stop()))
  }
}

/** µs a second that Redis takes for itself, and for being looked at. */
async function alone(look) {
  const [before, start] = [await look(), performance.now()]
  await sleep(seconds * 1_000)
  return ((await look()).cpu - before.cpu) / ((performance.now() - start) / 1_000)
}

/** Calls `work` with a runner in this process, which only submits. */
async function withSubmitter(engine, place, work) {
  const submitter = new BackgroundRunner({
    tasks: { noop: defineTask({ run: async () => {} }), waiting: defineTask({ run: async () => {} }) },
    engine: await engineOf(engine, place),
    work: false,
  })
  await submitter.ready()
  try {
    return await work(submitter)
  } finally {
    await submitter.close()
  }
}

/** All at once, until the last has begun. @param sum over all workers */
async function drained(submitter, sum) {
  const before = await sum('begun')
  for (let i = 0; i < TASKS; i += 1_000) await submitter.submitMany('noop', Array(1_000).fill(undefined))
  while ((await sum('begun')) - before < TASKS) await sleep(20)
}

/** One real worker that has nothing to do, and rows in the place of the others. */
async function inCrowd(path, size) {
  const env = { ENGINE: 'sqlite', PLACE: path, CROWD: size - 1 }
  const worker = await startChild(WORKER.pathname, env)
  const crowd = await startChild(CROWD.pathname, env)
  try {
    await sleep(REST)
    const [cpu, wakes, start] = [await worker.ask('cpu'), await worker.ask('wakes'), performance.now()]
    await sleep(seconds * 1_000)
    const wall = (performance.now() - start) / 1_000
    return {
      idle: ((await worker.ask('cpu')) - cpu) / wall,
      wakes: ((await worker.ask('wakes')) - wakes) / wall,
      beat: await crowd.ask('beat'),
    }
  } finally {
    await Promise.all([worker.stop(), crowd.stop()])
  }
}
