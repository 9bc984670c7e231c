/**
 * Runs workloads, interleaved, each measurement in a fresh process:
 *
 *   node bench/run.mjs [group or workload …] [--rounds 5] [--json file] [--readme] [--build]
 *
 * Without `--rounds` three of each workload, fewer of those that say so (`rounds`, and `once` for some cases), and one of a case
 * of which nothing is asked: all together stay below ten minutes.
 *
 * Prints two Markdown tables: what each case costs, and how that compares with the targets. All runs on the Node that runs
 * this: another one than that of the tables has places of its own, `sqlite on Node 24`.
 *
 * `--readme` puts the groups that were run into results.json, whole, in the place of what it has of them; and writes from
 * there their tables in README.md, and the short table in the README of the library. `--build` builds the library before, and
 * installs what is compared.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { parseArgs } from 'node:util'
import { NOISE } from './noise.mjs'
import { placeOf, places, written } from './readmes.mjs'
import { median, sum, summary } from './statistics.mjs'
import { tables } from './tables.mjs'

const ROOT = new URL('..', import.meta.url)
const WORKLOADS = new URL('./workloads/', import.meta.url)
const RESULTS = new URL('./results.json', import.meta.url)
const MEASURE = new URL('./measure.mjs', import.meta.url)
/** ms that one measurement may take. */
const TIMEOUT = 300_000
/** How often it is begun where the machine was too busy for it. */
const TRIES = 3
/** Where nothing else is asked for, nor said by the workload. */
const ROUNDS = 3
/** s that a measurement is expected to take, as long as nobody has measured how long it does. */
const UNKNOWN = 2

const { flags, wantedRounds, chosen } = asked()
if (flags.build) build()
const known = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : {}
const workloads = await load(chosen)
const rounds = Math.max(...workloads.map(({ rounds }) => rounds))
process.stderr.write(`at most ${rounds} rounds, about ${Math.ceil(expected() / 60)} minutes\n`)
const busyBefore = busy()
for (let round = 0; round < rounds; round++) {
  for (const workload of workloads) {
    if (round >= workload.rounds || workload.failed) continue
    const start = performance.now()
    const names = Object.keys(workload.cases)
    // Every other round goes backwards: nobody is always measured after the same neighbour.
    try {
      for (const name of round % 2 === 0 ? names : names.reverse()) {
        if (round > 0 && workload.once.includes(name)) continue
        workload.figures[name][round] = measure(workload, name)
        process.stderr.write('.')
      }
    } catch (error) {
      workload.failed = true
      console.error(error.message)
    }
    workload.seconds.push((performance.now() - start) / 1_000)
  }
}
process.stderr.write('\n')

const failed = workloads.filter((workload) => workload.failed)
if (failed.length > 0) {
  console.error(`left out, since they failed: ${failed.map(({ group, name }) => `${group}/${name}`).join(', ')}`)
  process.exitCode = 1
}
const results = await measured()
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(results, null, 2)}\n`)
if (flags.readme) publish(results)
for (const [place, result] of Object.entries(results)) console.log(`## ${place}\n\n${tables(result)}\n`)

/** What the command line asks for. What makes no sense ends this, before anything is built or measured. */
function asked() {
  try {
    const { values: flags, positionals: names } = parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string' },
        json: { type: 'string' },
        readme: { type: 'boolean', default: false },
        build: { type: 'boolean', default: false },
      },
    })
    const wantedRounds = flags.rounds === undefined ? undefined : Number(flags.rounds)
    if (wantedRounds !== undefined && !(Number.isInteger(wantedRounds) && wantedRounds > 0))
      throw new Error(`--rounds takes a number from 1 on, not ${flags.rounds}`)
    return { flags, wantedRounds, chosen: find(names, flags.readme) }
  } catch (error) {
    console.error(error.message)
    process.exit(2)
  }
}

function build() {
  const npm = (...args) => execFileSync('npm', args, { cwd: ROOT, stdio: ['ignore', process.stderr, 'inherit'] })
  npm('run', 'build')
  npm('--prefix', 'bench', 'install', '--no-audit', '--no-fund')
}

/** @throws {Error} there is none of a name, or `readme` and no place for its tables */
function find(names, readme) {
  const files = readdirSync(WORKLOADS, { recursive: true }).filter((file) => file.endsWith('.mjs'))
  const all = files.sort().map((file) => {
    const [group, name] = file.replace('.mjs', '').split(/[\\/]/)
    return { group, name, file: new URL(file, WORKLOADS).href }
  })
  // mails is a group, and one of sqlite's workloads too: sqlite/mails.
  const isGroup = (wanted) => all.some(({ group }) => group === wanted)
  const fits = ({ group, name }, wanted) =>
    wanted === group || wanted === `${group}/${name}` || (wanted === name && !isGroup(wanted))
  for (const wanted of names)
    if (!all.some((each) => fits(each, wanted)))
      throw new Error(
        `no group or workload: ${wanted}; there are ${all.map(({ group, name }) => `${group}/${name}`).join(', ')}`,
      )
  const chosen = all.filter((each) => names.length === 0 || names.some((wanted) => fits(each, wanted)))
  if (readme)
    for (const each of all) {
      if (!chosen.some(({ group }) => group === each.group)) continue
      if (!chosen.includes(each))
        throw new Error(`--readme replaces the tables of a group: ${each.group} would lose ${each.name}`)
      if (!places().includes(placeOf(each.group)))
        throw new Error(`--readme: bench/README.md has no place for ${placeOf(each.group)}`)
    }
  return chosen
}

function load(chosen) {
  return Promise.all(
    chosen.map(async (each) => {
      const { title, unit, cases, targets, rounds = ROUNDS, once = [] } = await import(each.file)
      return {
        ...each,
        title,
        unit,
        cases,
        targets,
        rounds: wantedRounds ?? rounds,
        once: wantedRounds === undefined ? [...once, ...unasked({ cases, targets })] : [],
        retries: Object.fromEntries(Object.keys(cases).map((name) => [name, 0])),
        seconds: [],
        figures: Object.fromEntries(Object.keys(cases).map((name) => [name, []])),
      }
    }),
  )
}

/** The cases that no target is about. */
function unasked({ cases, targets }) {
  const asked = targets.filter(({ atLeast, atMost }) => atLeast !== undefined || atMost !== undefined)
  return Object.keys(cases).filter((name) => !asked.some(({ ratio, value }) => value === name || ratio?.includes(name)))
}

/** @throws {Error} it failed, or the machine was too busy each time */
function measure(workload, name) {
  for (let left = TRIES; ; ) {
    try {
      return measureOnce(workload, name)
    } catch (error) {
      const failed = `\n${workload.group}/${workload.name}, ${name}, failed`
      if (error.code === 'ETIMEDOUT') throw new Error(`${failed}: it was not over after ${TIMEOUT / 1_000} s`)
      if (error.status !== NOISE) throw new Error(`${failed}, with what stands above`)
      if (--left === 0) throw new Error(`${failed} ${TRIES} times, with what stands above`)
      workload.retries[name]++
      process.stderr.write(`${failed} and is tried again\n`)
    }
  }
}

function measureOnce(workload, name) {
  const flags = ['--expose-gc', '--max-old-space-size=4096', '--disable-warning=REDIS_FORGETS']
  const args = [...flags, MEASURE.pathname, workload.file, name]
  const stdio = ['ignore', 'pipe', 'inherit']
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: TIMEOUT, stdio }))
}

/** s that this run takes, as far as an earlier one has told. */
function expected() {
  return sum(
    workloads.map(({ group, name, cases, rounds }) => {
      const before = (known[placeOf(group)] ?? known[group])?.workloads.find((each) => each.name === name)
      return rounds * (before?.seconds ?? UNKNOWN * Object.keys(cases).length)
    }),
  )
}

/** Medians, spreads and targets of a workload whose rounds are over. */
function report({ group, name, title, unit, rounds, retries, seconds, figures, targets }) {
  const cases = Object.entries(figures).map(([name, figures]) => {
    const { on, durability, ...measured } = figures[0]
    const keys = Object.keys(measured)
    return {
      name,
      on,
      durability,
      rounds: figures.length,
      retries: retries[name],
      ...Object.fromEntries(keys.map((key) => [key, summary(figures.map((each) => each[key]))])),
    }
  })
  const judged = targets.map((target) => ({ ...target, ...judge(target, figures) }))
  const each = Math.round(sum(seconds) / rounds)
  return { group, name, title, unit, rounds, seconds: each, cases, targets: judged }
}

/**
 * A ratio is the median of the ratios within each round: what slows the machine for a while slows both sides of it. It is
 * judged `by` one figure, or by CPU and wall alike.
 */
function judge({ ratio, value, by, atLeast = 0, atMost = Number.POSITIVE_INFINITY }, rounds) {
  if (value !== undefined) {
    const median_ = median(rounds[value].map((each) => each.value))
    return { value: median_, met: median_ >= atLeast && median_ <= atMost }
  }
  const [over, under] = ratio.map((name) => rounds[name])
  const of = (key) =>
    key in over[0]
      ? median(over.filter((_, round) => round in under).map((each, round) => each[key] / under[round][key]))
      : undefined
  const ratios = { cpu: of('cpu'), wall: by === 'value' ? of('value') : of('wall') }
  const judged = by === undefined ? [ratios.cpu, ratios.wall] : [ratios.wall]
  return { ...ratios, met: Math.min(...judged) >= atLeast && Math.max(...judged) <= atMost }
}

/** By its place, what was measured of each group, and on what. */
async function measured() {
  const { versionsOf } = await import('./versions.mjs')
  const results = {}
  for (const group of new Set(workloads.map(({ group }) => group))) {
    const reports = workloads.filter((each) => each.group === group && !each.failed).map(report)
    if (reports.length > 0)
      results[placeOf(group)] = { machine: { ...machine(), ...(await versionsOf(group)) }, workloads: reports }
  }
  return results
}

function machine() {
  return {
    cpu: `${os.availableParallelism()} shared cores of ${os.cpus()[0].model}`,
    node: process.version,
    load: `${busyBefore} before, ${busy()} after`,
    library: process.env.BENCH_LIBRARY ?? `dist, commit ${commit()}`,
  }
}

/** Processes that wanted a core in the minute before: what others do on this machine, and at the end our own too. */
function busy() {
  return os.loadavg()[0].toFixed(1)
}

function commit() {
  try {
    const git = (...args) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()
    const changed = git('status', '--porcelain', '--', 'src', 'examples') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with uncommitted changes' : ''}`
  } catch {
    return 'unknown'
  }
}

/** What was measured goes into results.json, and from there into both READMEs; of a group of which something failed, nothing. */
function publish(results) {
  for (const [place, result] of Object.entries(results))
    if (!failed.some(({ group }) => placeOf(group) === place)) known[place] = result
  writeFileSync(RESULTS, `${JSON.stringify(known, null, 2)}\n`)
  for (const [file, text] of Object.entries(written(known))) writeFileSync(file, text)
}
