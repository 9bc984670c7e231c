/** What was measured, reckoned for many workers, as Markdown. */

const MANY = [10, 100, 1_000]
/** Connections that Redis takes by default, and their number in an engine. */
const MAX_CLIENTS = 10_000

/** @param measured by run.mjs: µs a second of each worker, or µs a task of all */
export function tables({ sqlite, crowd, redis }, { lease, slots, machine }) {
  const counts = Object.keys(sqlite).map(Number)
  const beats = (n) => n / (lease / 3_000)
  const average = (by, key) => counts.reduce((sum, n) => sum + key(by[n]), 0) / counts.length

  const wakes = line(counts.map((n) => [n, sqlite[n].few.cpu]))
  const beat = MANY.reduce((sum, n) => sum + crowd[n].beat, 0) / MANY.length
  const onFile = [
    ['heartbeats a second, each a commit', (n) => plain(beats(n))],
    ['… keep the file locked', (n) => percent(beats(n) * beat)],
    ['CPU of a worker that has nothing to do', (n) => percent(crowd[n].idle)],
    ['… of all of them', (n) => cores(n * crowd[n].idle)],
    ['a task that arrives alone, CPU of all workers', (n) => time(wakes(n))],
    ['memory of the processes', (n) => size(n * average(sqlite, ({ memory }) => memory))],
  ]

  const idle = average(redis, ({ idle }) => idle.redisCpu)
  const held = average(redis, ({ held }) => held.redisCpu)
  const scripts = average(redis, ({ held }) => held.scripts)
  const [least, largest] = [Math.min(...counts), Math.max(...counts)]
  const perTask = redis[largest].backlog.redisCpu
  const connections = average(redis, ({ connections }) => connections)
  const few = (key) => line(counts.map((n) => [n, key(redis[n].few)]))
  const fewScripts = few(({ scripts }) => scripts)
  const fewInRedis = few(({ redisCpu }) => redisCpu)
  const fewInAll = few(({ cpu }) => cpu)
  const onRedis = [
    ['connections', (n) => plain(n * connections)],
    ['waits for work a second, nothing to do', (n) => plain(n * average(redis, ({ idle }) => idle.waits))],
    ["Redis's core, nothing to do", (n) => percent(n * idle)],
    [`scripts a second that keep locks, ${slots} tasks running in each`, (n) => plain(n * scripts)],
    ["… Redis's core", (n) => percent(n * held)],
    ['CPU of a worker that has nothing to do', () => percent(average(redis, ({ idle }) => idle.cpu))],
    ['a task that arrives alone, scripts', (n) => plain(fewScripts(n))],
    ['… CPU of Redis', (n) => time(fewInRedis(n))],
    ['… CPU of all workers', (n) => time(fewInAll(n))],
    ['memory of the processes', (n) => size(n * average(redis, ({ memory }) => memory))],
  ]

  return `On one file:

${table(onFile)}

On one Redis:

${table(onRedis)}

With real processes of ${slots} slots each; tasks that do nothing, one by one while all wait, and a backlog of them:

| processes | ${counts.join(' | ')} |
|---|${'---|'.repeat(counts.length)}
${[
  ['one file: a task that arrives alone, CPU of all', (n) => time(sqlite[n].few.cpu)],
  ['backlog, tasks a second', (n) => plain(1e6 / sqlite[n].backlog.wall)],
  ['backlog, CPU of all for a task', (n) => time(sqlite[n].backlog.cpu)],
  ['one Redis: a task that arrives alone, CPU of all', (n) => time(redis[n].few.cpu)],
  ['… scripts', (n) => plain(redis[n].few.scripts)],
  ['… CPU of Redis', (n) => time(redis[n].few.redisCpu)],
  ['backlog, tasks a second', (n) => plain(1e6 / redis[n].backlog.wall)],
  ['backlog, CPU of all for a task', (n) => time(redis[n].backlog.cpu)],
  ['backlog, CPU of Redis for a task', (n) => time(redis[n].backlog.redisCpu)],
]
  .map(([name, cell]) => `| ${name} | ${counts.map(cell).join(' | ')} |`)
  .join('\n')}

- **A file** takes some ${round(1e6 / sqlite[least].backlog.wall)} such tasks a second from ${many(least)}, and ${round(1e6 / sqlite[largest].backlog.wall)} from ${many(largest)}: one writes at a time.
  Those that only wait take a core at about ${round(coreAt(MANY.map((n) => [n, n * crowd[n].idle])))} of them.
- **A Redis** takes some ${round(1e6 / perTask)} such tasks a second, at ${time(perTask)} of its one core for each. Keeping the locks takes half
  of that core at about ${round(500_000 / held)} workers, and at ${round(MAX_CLIENTS / connections)} they have the ${spaced(MAX_CLIENTS)} connections that are its
  default (\`maxclients\`). Of tasks that come one by one, each after the end of the last, it takes some ${round(1e6 / fewInRedis(100))} a second with
  100 workers.

Measured on ${machine}, lease ${lease / 1_000} s; by \`node bench/scale/run.mjs --docs\`.`
}

function table(rows) {
  const head = `| workers | ${MANY.map(spaced).join(' | ')} |\n|---|${'---|'.repeat(MANY.length)}`
  return [head, ...rows.map(([name, cell]) => `| ${name} | ${MANY.map(cell).join(' | ')} |`)].join('\n')
}

function many(n) {
  return n === 1 ? 'one process' : `${spaced(n)} processes`
}

/** The straight line that fits best. */
function line(points) {
  const n = points.length
  const [mx, my] = [0, 1].map((i) => points.reduce((sum, point) => sum + point[i], 0) / n)
  const spread = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0)
  const slope = spread === 0 ? 0 : points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / spread
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
