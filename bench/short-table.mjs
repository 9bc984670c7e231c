/** The short table of the library's README: some rows of results.json, each with what its competitor keeps. */

/** `against` and `ours` are cases; without `against` it is the figure alone that is of interest. */
const ROWS = [
  row('A task that does nothing, in memory', 'memory', 'no-op', 'background-runner', 'p-queue'),
  row('', 'memory', 'no-op', 'background-runner', 'fastq'),
  row('', 'memory', 'no-op', 'background-runner', 'lean-runner', 'a lean runner by hand'),
  row('… of random priority', 'memory', 'priorities', 'background-runner', 'p-queue'),
  row('… of 1 ms, 100 at a time', 'memory', 'async', 'background-runner', 'lanes', 'bare loops'),
  row('… while 1 000 000 wait', 'memory', 'standing-backlog', 'over 1 000 000', 'over 1 000', 'while 1 000 wait'),
  row('Memory of one that waits', 'memory', 'heap', 'pending'),
  row('… that has ended', 'memory', 'heap', 'finished'),
  row('From `submit` to its start, idle', 'memory', 'pickup', 'background-runner'),
  row('… on a file', 'sqlite', 'pickup-here', 'background-runner'),
  row('… on a file, from another process', 'sqlite', 'pickup', 'background-runner'),
  row('A task that does nothing, in a file', 'sqlite', 'whole-life', 'background-runner, 100', 'plainjob, 100'),
  row('', 'sqlite', 'hand-written', 'background-runner, 100', 'hand-written, 100', 'the same table by hand'),
  row('… safe from a power cut', 'sqlite', 'power', 'background-runner, 100', 'plainjob, 100'),
  row('… in a file of 1 000 000', 'sqlite', 'large-file', 'of 1 000 000', 'of 1 000', 'in a file of 1 000'),
  row('… one of 300', 'sqlite', 'others', 'background-runner', 'liteque'),
  row('', 'sqlite', 'others', 'background-runner', 'sidequest'),
  row(
    'A task that does nothing, in a file, on Node 24',
    'sqlite on Node 24',
    'whole-life',
    'background-runner, 100',
    'plainjob, 100',
  ),
  row('', 'sqlite on Node 24', 'hand-written', 'background-runner, 100', 'hand-written, 100', 'the same table by hand'),
  row('… safe from a power cut', 'sqlite on Node 24', 'power', 'background-runner, 100', 'plainjob, 100'),
  row('A task that does nothing, on Redis', 'bullmq', 'drain', BULLMQ(50), 'bare BullMQ at concurrency 50'),
  row('', 'bullmq', 'drain', BULLMQ(50), 'bee-queue at concurrency 50'),
  row('A mail, server at 20 ms', 'mails', 'throughput', 'background-runner, 20 ms', 'nodemailer, 20 ms'),
  row('… at 0 ms, the first 1 000', 'mails', 'throughput', 'background-runner, 0 ms', 'nodemailer, 0 ms'),
  row('… at 0 ms, warm', 'mails', 'throughput', 'background-runner, 0 ms, warm', 'nodemailer, 0 ms, warm'),
  row('A mail kept in a file, server at 20 ms', 'sqlite', 'mails', 'sqlite, 20 ms', 'nodemailer, 20 ms'),
  row('… at 0 ms, warm', 'sqlite', 'mails', 'sqlite, 0 ms, warm', 'nodemailer, 0 ms, warm'),
  row('HTTP submit, 500/s, p99', 'http', 'open-loop', 'background-runner', 'empty route', 'a route that does nothing'),
]

function BULLMQ(concurrency) {
  return `background-runner at concurrency ${concurrency}`
}

/** @param called what the competitor is called, where it is no package */
function row(what, group, workload, ours, against, called) {
  return { what, group, workload, ours, against, called }
}

/** Markdown. @param results by their place: 'memory', 'sqlite', 'sqlite on Node 24' */
export function shortTable(results) {
  const lines = ['| | here | against | | by wall | by CPU |', '|---|---|---|---|---|---|']
  const machines = new Set()
  const builds = new Set()
  for (const { what, group, workload: name, ours, against, called } of ROWS) {
    const { machine, workloads } = results[group] ?? {}
    const workload = workloads?.find((each) => each.name === name)
    const here = workload?.cases.find((each) => each.name === ours)
    if (here === undefined) continue
    const { cpu, node, library } = machine
    machines.add(`${cpu}, Node ${node.slice(1)}`)
    builds.add(library.replace('dist, ', ''))
    const there = workload.cases.find((each) => each.name === against)
    if (against !== undefined && there === undefined) continue
    const figures =
      there === undefined
        ? '– | | |'
        : `${called ?? versioned(against, machine)} | ${figure(there, workload)} | ${ratios(workload, ours, against)}`
    lines.push(`| ${what} | ${figure(here, workload)} | ${figures} |`)
  }
  if (machines.size === 0) return 'Nothing was measured yet: `npm run bench -- --readme`.'
  return `${lines.join('\n')}

Medians on ${[...machines].join('; ')} (${[...builds].join(', ')}).
Beside each figure, what is left of the tasks: _none_: they are gone with the process; _process_: they survive its \`kill -9\`;
_power_: a power cut too; _Redis_: they are as safe as that Redis. Above 1× this library is faster: by wall, which the figures
are and the caller waits, and by the CPU of all threads. All figures, what was to be reached, and why some of it was not:
[bench/README.md](bench/README.md).`
}

function figure({ cpu, wall, value, durability }, { unit }) {
  const { median } = wall ?? value ?? cpu
  const of = unit.replace(/(\/| a ).*/, '') // a task, a mail, a request: the row says what
  const [n, short] = of === 'µs' && median >= 1_000 ? [median / 1_000, 'ms'] : [median, of]
  return `${n < 100 ? n.toPrecision(2) : n.toFixed(0)} ${short}${durability === undefined ? '' : `, ${durability}`}`
}

/** How much faster this library is: the median of the ratios within each round, as the workload has judged it. */
function ratios({ targets }, ours, against) {
  const { ratio, wall, cpu } = targets.find(({ ratio }) => ratio?.includes(ours) && ratio.includes(against))
  const show = (by) => (by === undefined ? '–' : `${(ratio[0] === against ? by : 1 / by).toFixed(2)}×`)
  return `${show(wall)} | ${show(cpu)}`
}

function versioned(name, machine) {
  const [, known] = /^(?:bare )?([\w-]+)/.exec(name)
  const version = machine[known.toLowerCase()]
  return version === undefined ? known : `${known} ${version}`
}
