/**
 * Kills 200 processes that submit and work alone, and 200 of four that work together, counts what became of their tasks,
 * and writes the report. `SEED=… npm run chaos` does the same again; `KILLS=…` does more or less, and writes none.
 *
 * It runs with tsx, as the tests' own programs are TypeScript.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadDriver } from '../src/sqlite/driver.ts'
import { killAndCount } from '../test/sqlite/chaos/kills.ts'

const REPORT = fileURLToPath(new URL('../test/sqlite/chaos/REPORT.md', import.meta.url))
const kills = Number(process.env.KILLS ?? 200)
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 1_000_000))
const folder = mkdtempSync(join(tmpdir(), 'background-runner-chaos-'))
console.log(`SEED=${seed}`)

const alone = await killAndCount({ folder, seed, kills, workers: 1, lease: 15_000 })
const together = await killAndCount({ folder, seed: seed + 1, kills, workers: 4, lease: 1_000 })
const open = await loadDriver()
const { driver } = open(join(folder, 'any.db'))
rmSync(folder, { recursive: true })

const report = `# What \`kill -9\` did

\`SEED=${seed} npm run chaos\`, Node ${process.versions.node}, ${driver}. A process that submits and works on one file is killed and started
again, ${kills} times; then one of four that work together, as often. A new file every 25 kills; each is worked off and counted.

| | alone, lease 15 s | one of four, lease 1 s |
|---|---|---|
${rows(alone, together)}

- **lost**: acknowledged by \`submit\`, \`save\` or a \`succeeded\` event, and not there afterwards. **stuck**: not at its end although all was worked off.
- **run twice**: begun again because it was running when its process was killed. **wrongly**: for any other reason.
- **ended \`CRASHED\`**: was running at three deaths in a row, as the crash rule has it.
- **killed in**: the process kills itself right before or after a statement of that kind, or within a handler; from outside: at any moment, a fifth of them while it starts. The first ones on a file kill the only process, which is making it.
- **recovery**: from \`new BackgroundRunner\`, after a kill, to \`ready()\` and to its first claim, by the clock of the new process.
- \`PRAGMA integrity_check\` is asked after each kill of a file that is made, and when all is worked off.
`
console.log(report)
if (process.env.KILLS === undefined) writeFileSync(REPORT, report)
const bad = [alone, together].flatMap(({ lost, stuck, wrong, damaged, faults }) => [
  ...lost,
  ...stuck,
  ...wrong,
  ...damaged,
  ...faults,
])
for (const each of bad) console.error(each)
process.exitCode = bad.length === 0 ? 0 : 1

function rows(...reports) {
  const row = (name, of) => `| ${name} | ${reports.map(of).join(' | ')} |`
  const moments = [...new Set(reports.flatMap(({ moments }) => Object.keys(moments)))].sort()
  return [
    row('kills', (each) => each.kills),
    row('submitted', (each) => each.submitted),
    row('**lost**', (each) => each.lost.length),
    row('**stuck**', (each) => each.stuck.length),
    row('run twice', (each) => each.ranTwice),
    row('**run twice wrongly**', (each) => each.wrong.length),
    row('ended `CRASHED`', (each) => each.crashed),
    row('files damaged', (each) => each.damaged.length),
    row('faults reported', (each) => each.faults.length),
    row('recovery to `ready()`, p50 / p99', (each) => quantiles(each.ready)),
    row('recovery to the first claim, p50 / p99', (each) => quantiles(each.claimed)),
    ...moments.map((moment) =>
      row(`killed ${moment === 'outside' ? 'from outside' : `in ${moment}`}`, (each) => each.moments[moment] ?? 0),
    ),
  ].join('\n')
}

function quantiles(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (q) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0)
  return `${at(0.5)} / ${at(0.99)} ms`
}
