/**
 * Runs workloads, interleaved, each measurement in a fresh process:
 *
 *   node bench/run.mjs [group or workload …] [--rounds 5] [--json file] [--readme]
 *
 * Without `--rounds` three of each workload, fewer of those that say so: all together stay below ten minutes.
 *
 * Prints two Markdown tables: what each case costs, and how that compares with the targets. All runs on the Node that runs
 * this: on another one the tables of a group go to a place of their own in the README, where there is one.
 *
 * `--readme` puts the groups that were run into results.json, whole, in the place of what it has of them; and writes from
 * there their tables in README.md, and the short table in the README of the library.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { parseArgs } from 'node:util'
import { shortTable } from './short-table.mjs'
import { median, summary } from './statistics.mjs'

const WORKLOADS = new URL('./workloads/', import.meta.url)
const README = new URL('./README.md', import.meta.url)
const RESULTS = new URL('./results.json', import.meta.url)
const MAIN_README = new URL('../README.md', import.meta.url)
const MEASURE = new URL('./measure.mjs', import.meta.url)
const COMPARED = [
  'p-queue',
  'fastq',
  'p-limit',
  'better-queue',
  'eventemitter3',
  'nodemailer',
  'express',
  'plainjob',
  'liteque',
  'sidequest',
  'tinypool',
  'bullmq',
  'bee-queue',
]
/** ms that one measurement may take. */
const TIMEOUT = 300_000
/** How often it is begun until it succeeds. */
const TRIES = 3
/** Where nothing else is asked for, nor said by the workload. */
const ROUNDS = 3
/** s that a measurement is expected to take, as long as nobody has measured how long it does. */
const UNKNOWN = 2

const { values: flags, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    json: { type: 'string' },
    readme: { type: 'boolean', default: false },
  },
})

const wantedRounds = flags.rounds === undefined ? undefined : Number(flags.rounds)
if (wantedRounds !== undefined && !(Number.isInteger(wantedRounds) && wantedRounds > 0))
  throw new Error(`--rounds: ${flags.rounds}`)
const known = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : {}
const workloads = await find(wanted)
const rounds = Math.max(...workloads.map(({ rounds }) => rounds))
process.stderr.write(`${rounds} rounds, about ${Math.ceil(expected() / 60)} minutes\n`)
const loadBefore = load()
for (let round = 0; round < rounds; round++) {
  for (const workload of workloads) {
    if (round >= workload.rounds || workload.failed) continue
    const start = performance.now()
    const names = Object.keys(workload.cases)
    // Every other round goes backwards: nobody is always measured after the same neighbour.
    try {
      for (const name of round % 2 === 0 ? names : names.reverse()) {
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
const results = { machine: machine(), workloads: workloads.filter((workload) => !workload.failed).map(report) }
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(results, null, 2)}\n`)
if (flags.readme) publish(results)
for (const group of groups(results)) {
  const workloads = results.workloads.filter((each) => each.group === group)
  console.log(`## ${group}\n\n${tables({ machine: results.machine, workloads })}\n`)
}

async function find(names) {
  const files = readdirSync(WORKLOADS, { recursive: true }).filter((file) => file.endsWith('.mjs'))
  const all = files.map((file) => {
    const [group, name] = file.replace('.mjs', '').split(/[\\/]/)
    return { group, name, file: new URL(file, WORKLOADS).href }
  })
  // mails is a group, and one of sqlite's workloads too: sqlite/mails.
  const isGroup = (wanted) => all.some(({ group }) => group === wanted)
  const fits = ({ group, name }, wanted) =>
    wanted === group || wanted === `${group}/${name}` || (wanted === name && !isGroup(wanted))
  for (const wanted of names)
    if (!all.some((each) => fits(each, wanted))) throw new Error(`no group or workload: ${wanted}`)
  const chosen = all.filter((each) => names.length === 0 || names.some((wanted) => fits(each, wanted)))
  if (flags.readme)
    for (const { group, name } of all)
      if (
        chosen.some((each) => each.group === group) &&
        !chosen.some((each) => each.group === group && each.name === name)
      )
        throw new Error(`--readme replaces the tables of a group: ${group} would lose ${name}`)
  return Promise.all(
    chosen.map(async (each) => {
      const { title, unit, cases, targets, rounds = ROUNDS } = await import(each.file)
      return {
        ...each,
        title,
        unit,
        cases,
        targets,
        rounds: wantedRounds ?? rounds,
        seconds: [],
        figures: Object.fromEntries(Object.keys(cases).map((name) => [name, []])),
      }
    }),
  )
}

/** On a busy machine one may fail (a rate was not kept): it is tried again. @throws {Error} it fails each time */
function measure(workload, name) {
  for (let left = TRIES; ; ) {
    try {
      return measureOnce(workload, name)
    } catch (error) {
      if (--left === 0) throw error
      process.stderr.write(`\n${workload.group}/${workload.name}, ${name}, failed and is tried again\n`)
    }
  }
}

function measureOnce(workload, name) {
  const flags = ['--expose-gc', '--max-old-space-size=4096', '--disable-warning=REDIS_FORGETS']
  const args = [...flags, MEASURE.pathname, workload.file, name]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: TIMEOUT }))
}

/** s that this run takes, as far as an earlier one has told. */
function expected() {
  return workloads.reduce((sum, { group, name, cases, rounds }) => {
    const before = known[placeOf(group)]?.workloads.find((each) => each.name === name)
    return sum + rounds * (before?.seconds ?? UNKNOWN * Object.keys(cases).length)
  }, 0)
}

/** Medians, spreads and targets of a workload whose rounds are over. */
function report({ group, name, title, unit, rounds, seconds, figures, targets }) {
  const cases = Object.entries(figures).map(([name, figures]) => {
    const { on, durability, ...measured } = figures[0]
    const keys = Object.keys(measured)
    return {
      name,
      on,
      durability,
      ...Object.fromEntries(keys.map((key) => [key, summary(figures.map((each) => each[key]))])),
    }
  })
  const judged = targets.map((target) => ({ ...target, ...judge(target, figures) }))
  return { group, name, title, unit, rounds, seconds: Math.round(median(seconds)), cases, targets: judged }
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
  const of = (key) => (key in over[0] ? median(over.map((each, round) => each[key] / under[round][key])) : undefined)
  const ratios = { cpu: of('cpu'), wall: by === 'value' ? of('value') : of('wall') }
  const judged = by === undefined ? [ratios.cpu, ratios.wall] : [ratios.wall]
  return { ...ratios, met: Math.min(...judged) >= atLeast && Math.max(...judged) <= atMost }
}

function machine() {
  const version = (name) =>
    JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url), 'utf8')).version
  return {
    cpu: `${os.availableParallelism()} shared cores of ${os.cpus()[0].model}`,
    node: process.version,
    load: `${loadBefore} before, ${load()} after`,
    library: process.env.BENCH_LIBRARY ?? `dist, commit ${commit()}`,
    ...Object.fromEntries(COMPARED.map((name) => [name, version(name)])),
  }
}

/** Processes that wanted a core in the minute before: what others do on this machine, and at the end our own too. */
function load() {
  return os.loadavg()[0].toFixed(1)
}

function commit() {
  try {
    const git = (...args) => execFileSync('git', args, { cwd: new URL('..', import.meta.url), encoding: 'utf8' }).trim()
    const changed = git('status', '--porcelain', '--', 'src', 'examples') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with uncommitted changes' : ''}`
  } catch {
    return 'unknown'
  }
}

function groups({ workloads }) {
  return [...new Set(workloads.map(({ group }) => group))]
}

function tables({ machine, workloads }) {
  return [environment(machine, workloads), costTable(workloads), targetTable(workloads)].join('\n\n')
}

function environment(machine, workloads) {
  const parts = Object.entries(machine).map(([name, value]) => `${name} ${value}`)
  const rounds = Math.max(...workloads.map(({ rounds }) => rounds))
  return `${parts.join(' · ')} · ${rounds} rounds · median (least–most)`
}

function costTable(workloads) {
  const lines = ['| workload | case | CPU | wall | unit | kept |', '|---|---|---|---|---|---|']
  for (const { title, unit, cases } of workloads)
    for (const { name, on, durability = '–', cpu, wall, value } of cases) {
      const named = on === undefined ? name : `${name} (${on})`
      lines.push(`| ${title} | ${named} | ${spread(cpu)} | ${spread(wall ?? value)} | ${unit} | ${durability} |`)
    }
  return lines.join('\n')
}

function targetTable(workloads) {
  const lines = ['| workload | | by CPU | by wall | target | met |', '|---|---|---|---|---|---|']
  for (const { title, unit, targets } of workloads)
    for (const { say, cpu, wall, value, atLeast, atMost, met } of targets) {
      const [show, by] = value === undefined ? [ratio, '×'] : [digits, ` ${unit}`]
      const target = atLeast !== undefined ? `≥ ${atLeast}${by}` : atMost !== undefined ? `≤ ${atMost}${by}` : '–'
      const figures = value === undefined ? `${show(cpu)} | ${show(wall)}` : `– | ${show(value)}`
      lines.push(`| ${title} | ${say} | ${figures} | ${target} | ${target === '–' ? '' : met ? 'yes' : '**no**'} |`)
    }
  return lines.join('\n')
}

function ratio(n) {
  return n === undefined ? '–' : `${n.toFixed(2)}×`
}

function spread(figures) {
  if (figures === undefined) return '–'
  return `${digits(figures.median)} (${digits(figures.least)}–${digits(figures.most)})`
}

function digits(n) {
  return n.toFixed(n < 100 ? 2 : 0)
}

/** Where the tables of a group stand, by the Node that runs this. */
function placeOf(group) {
  const readme = readFileSync(README, 'utf8')
  const node = process.versions.node.split('.')[0]
  const place = [`${group} on Node ${node}`, group].find((each) => readme.includes(`<!-- results ${each} -->`))
  if (place === undefined) throw new Error(`README.md has no place for the results of ${group}`)
  return place
}

/** What was measured goes into results.json, and from there into both READMEs; of a group of which something failed, nothing. */
function publish({ machine, workloads }) {
  for (const group of groups({ workloads })) {
    if (failed.some((each) => each.group === group)) continue
    const place = placeOf(group)
    known[place] = { machine, workloads: workloads.filter((each) => each.group === group) }
    replace(README, `results ${place}`, `/results ${place}`, tables(known[place]))
  }
  writeFileSync(RESULTS, `${JSON.stringify(known, null, 2)}\n`)
  replace(MAIN_README, 'bench:begin', 'bench:end', shortTable(known))
}

/** @param text what is to stand between two marks */
function replace(file, begin, end, text) {
  const before = readFileSync(file, 'utf8')
  const [from, to] = [before.indexOf(`<!-- ${begin} -->`), before.indexOf(`<!-- ${end} -->`)]
  if (from < 0 || to < from) throw new Error(`${file.pathname} has no place for ${begin}`)
  writeFileSync(file, `${before.slice(0, from)}<!-- ${begin} -->\n\n${text}\n\n${before.slice(to)}`)
}
