/** What was measured, and what is reckoned from that for many workers, as Markdown. */
import { median } from '../statistics.mjs'

const MANY = [10, 100, 1_000]
/** Connections that Redis takes by default. */
const MAX_CLIENTS = 10_000
/** A figure that rises by less, from the largest number of workers but one to the largest, is taken for one that does not. */
const SAME = 1.25

/** @param results of run.mjs: µs and numbers, a second of each worker, or of all for a task */
export function tables({ sqlite, redis }) {
  return `On one file:

${table(MANY, fileRows(sqlite))}

On one Redis:

${table(MANY, redisRows(redis))}

What stands upright was measured: with so many real processes or, on a file, with rows that stand in for the others. _What slopes_
is reckoned: what a worker takes by itself, times their number; what a task takes, as with the most that were measured where it
rises no more, and else by a straight line. With real processes of ${sqlite.slots} slots each, tasks that do nothing, one by one while all
wait, and a backlog of them, which is submitted by the thousand meanwhile:

${table(countsOf(sqlite.real), realRows(sqlite.real), 'on one file, processes')}

${table(countsOf(redis.real), realRows(redis.real, true), 'on one Redis, processes')}

${limits(sqlite, redis)}

${[sqlite, redis].map(measuredOn).join('\n')}`
}

function fileRows({ real, crowd, cores: count, lease }) {
  const beats = (n) => beatsOf(n, lease)
  const beat = median(MANY.map((n) => crowd[n].beat))
  const cpu = curve(real, ({ backlog }) => backlog.cpu)
  return [
    ['heartbeats a second, each a commit', (n) => sloped(beats(n), plain)],
    ['… keep the file locked', (n) => sloped(beats(n) * beat, percent)],
    ['wake-ups a second of a worker that has nothing to do', (n) => plain(crowd[n].wakes)],
    ['… of all of them', (n) => sloped(n * crowd[n].wakes, plain)],
    ['CPU of a worker that has nothing to do', (n) => percent(crowd[n].idle)],
    ['… of all of them', (n) => sloped(n * crowd[n].idle, cores)],
    [
      `claims a second from a backlog, on ${count} cores`,
      (n) => (n in real ? plain(1e6 / real[n].backlog.wall) : sloped((count * 1e6) / cpu(n), plain)),
    ],
    ['a task that arrives alone, CPU of all workers', cell(real, ({ few }) => few.cpu, time)],
    ['memory of the processes', ofAll(real, ({ memory }) => memory, size)],
  ]
}

function redisRows({ real, cores: count, slots }) {
  const most = ofMost(real)
  return [
    ['connections', ofAll(real, ({ connections }) => connections, plain)],
    ['nothing to do: waits for work a second', ofAll(real, ({ idle }) => idle.waits, plain)],
    ['… scripts a second', ofAll(real, ({ idle }) => idle.scripts, plain)],
    ['… wake-ups a second of all workers', ofAll(real, ({ idle }) => idle.wakes, plain)],
    ['… CPU of a worker', cell(real, ({ idle }) => idle.cpu, percent)],
    ["… Redis's core", ofAll(real, ({ idle }) => idle.redisCpu, percent)],
    [
      `heartbeats, ${slots} tasks running in each: scripts a second beyond those`,
      ofAll(real, ({ held, idle }) => held.scripts - idle.scripts, plain),
    ],
    ["… Redis's core beyond that", ofAll(real, keepingOf, percent)],
    [
      `claims a second from a backlog, all on ${count} cores`,
      (n) => (n in real ? plain(1e6 / real[n].backlog.wall) : '–'),
    ],
    [
      "… as many as Redis's core allows",
      (n) => sloped(Math.max(0, 1e6 - n * keepingOf(most)) / most.backlog.redisCpu, plain),
    ],
    ['a task that arrives alone, scripts', cell(real, ({ few }) => few.scripts, plain)],
    ['… CPU of Redis', cell(real, ({ few }) => few.redisCpu, time)],
    ['… CPU of all workers', cell(real, ({ few }) => few.cpu, time)],
    ['memory of the processes', ofAll(real, ({ memory }) => memory, size)],
  ]
}

function realRows(real, inRedis = false) {
  return [
    ['a backlog, claims a second', (n) => plain(1e6 / real[n].backlog.wall)],
    ['… CPU of all for a task', (n) => time(real[n].backlog.cpu)],
    inRedis && ['… CPU of Redis', (n) => time(real[n].backlog.redisCpu)],
    ['a task that arrives alone, CPU of all', (n) => time(real[n].few.cpu)],
    inRedis && ['… CPU of Redis', (n) => time(real[n].few.redisCpu)],
    inRedis && ['… scripts', (n) => plain(real[n].few.scripts)],
  ].filter(Boolean)
}

function limits({ real, crowd }, redis) {
  const [least, most] = [countsOf(real)[0], countsOf(real).at(-1)]
  const { idle, held, backlog, connections, few } = ofMost(redis.real)
  return `- **A file** takes some ${round(1e6 / real[least].backlog.wall)} such tasks a second from ${many(least)}, and ${round(1e6 / real[most].backlog.wall)} from ${many(most)}: one writes at a time,
  and all look what was written. Those that only wait take a core at about ${round(coreAt(MANY.map((n) => [n, n * crowd[n].idle])))} of them:
  what is reckoned of claims beyond that is at best.
- **A Redis** takes some ${round(1e6 / backlog.redisCpu)} such tasks a second, at ${time(backlog.redisCpu)} of its one core for each. Waiting alone takes half of that
  core at about ${round(500_000 / idle.redisCpu)} workers, keeping locks as well at ${round(500_000 / held.redisCpu)}; at ${round(MAX_CLIENTS / connections)} they have the ${spaced(MAX_CLIENTS)} connections
  that are its default (\`maxclients\`). Of tasks that come one by one, each after the end of the last, it takes some
  ${round(1e6 / few.redisCpu)} a second with ${countsOf(redis.real).at(-1)} workers.`
}

function measuredOn({ machine, load, lease }, i) {
  const what = i === 0 ? 'The file' : 'Redis'
  return `${what}: measured on ${machine}, load ${load} at the end, lease ${lease / 1_000} s.`
}

/** µs a second that a worker takes of Redis to keep its locks, beyond what it takes with nothing to do. */
function keepingOf({ held, idle }) {
  return Math.max(0, held.redisCpu - idle.redisCpu)
}

function beatsOf(n, lease) {
  return n / (lease / 3_000)
}

/** What was measured with the most. */
function ofMost(real) {
  return real[countsOf(real).at(-1)]
}

function countsOf(real) {
  return Object.keys(real).map(Number)
}

/** A cell: what was measured with so many, or what is reckoned. @param show figure to text */
function cell(real, key, show) {
  const reckon = curve(real, key)
  return (n) => (n in real ? show(key(real[n])) : sloped(reckon(n), show))
}

/** What each worker takes, times their number: it knows nothing of the others. */
function ofAll(real, key, show) {
  return (n) => (n in real ? show(n * key(real[n])) : sloped(n * key(ofMost(real)), show))
}

/** Two digits, in italics: it is a reckoning. */
function sloped(figure, show) {
  return `_${show(Number(figure.toPrecision(2)))}_`
}

function table(counts, rows, what = 'workers') {
  const head = `| ${what} | ${counts.map(spaced).join(' | ')} |\n|---|${'---|'.repeat(counts.length)}`
  return [head, ...rows.map(([name, cell]) => `| ${name} | ${counts.map((n) => cell(n)).join(' | ')} |`)].join('\n')
}

function many(n) {
  return n === 1 ? 'one process' : `${spaced(n)} processes`
}

/** Where it does not rise with the number any more, as it was with the most; else the straight line that fits best. */
function curve(real, key) {
  const points = countsOf(real).map((n) => [n, key(real[n])])
  const [before, last] = points.slice(-2).map(([, y]) => y)
  if (last < SAME * before) return () => last
  const [mx, my] = [0, 1].map((i) => points.reduce((sum, point) => sum + point[i], 0) / points.length)
  const spread = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0)
  const slope = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / spread
  return (x) => Math.max(0, my + slope * (x - mx))
}

/** At how many it is a core: between two that were measured, or beyond the last two. @param points number, µs a second of all */
function coreAt(points) {
  const logs = points.map(([n, us]) => [Math.log(n), Math.log(us / 1e6)])
  const after = logs.findIndex(([, core]) => core > 0)
  const at = after === -1 ? logs.length - 1 : Math.max(1, after)
  const [[x0, y0], [x1, y1]] = [logs[at - 1], logs[at]]
  return Math.exp(x0 - (y0 * (x1 - x0)) / (y1 - y0))
}

// Figures: µs, µs a second, bytes.

function time(us) {
  return us < 1_000 ? `${short(us)} µs` : `${short(us / 1_000)} ms`
}

function percent(usASecond) {
  return usASecond > 1e6 ? cores(usASecond) : `${short(usASecond / 1e4)} %`
}

function cores(usASecond) {
  return `${short(usASecond / 1e6)} cores`
}

function size(bytes) {
  return bytes < 1e9 ? `${short(bytes / 1e6)} MB` : `${short(bytes / 1e9)} GB`
}

function plain(n) {
  return n < 100 ? short(n) : spaced(Math.round(n))
}

function short(n) {
  return n === 0 ? '0' : n >= 100 ? spaced(Math.round(n)) : String(Number(n.toPrecision(2)))
}

/** Two digits: it is a reckoning. */
function round(n) {
  return spaced(Number(n.toPrecision(2)))
}

function spaced(n) {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ' ')
}
