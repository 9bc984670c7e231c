/**
 * Kills 200 processes that submit and work alone, and 200 of four that work together, counts what became of their tasks,
 * and writes the report; does so with 100 of four on one Redis, and on one PostgreSQL,
 * which it starts (without a program for that it says so); then sends 10 000 mails through a server that fails at random, by
 * processes that are killed on the way, compares the records with the mailboxes, and writes the report. `SEED=… npm run chaos` does the same again;
 * `KILLS=…`, `REDIS_KILLS=…`, `POSTGRES_KILLS=…` and `MAILS=…` do more or less of the one or the other, 0 nothing, and write no report.
 *
 * It runs with tsx, as the tests' own programs are TypeScript.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadDriver } from '../src/sqlite/driver.ts'
import { mailAndKill, tableOf } from '../test/email/chaos/mass.ts'
import { killAndCount } from '../test/sqlite/chaos/kills.ts'
import { canStartPostgres, PostgresServer } from '../test/support/postgres-server.ts'
import { canStartRedis, RedisServer } from '../test/support/redis-server.ts'

const KILLS = 200
const REDIS_KILLS = 100
const POSTGRES_KILLS = 100
const MAILS = 10_000
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 1_000_000))
const kills = Number(process.env.KILLS ?? KILLS)
const redisKills = Number(process.env.REDIS_KILLS ?? REDIS_KILLS)
const postgresKills = Number(process.env.POSTGRES_KILLS ?? POSTGRES_KILLS)
const mails = Number(process.env.MAILS ?? MAILS)
const folder = mkdtempSync(join(tmpdir(), 'background-runner-chaos-'))
console.log(`SEED=${seed}`)

const open = await loadDriver()
const { driver } = open(join(folder, 'any.db'))
const repeat = `\`SEED=${seed} npm run chaos\`, Node ${process.versions.node}, ${driver}.`
const bad = [
  ...(kills > 0 ? await tasks() : []),
  ...(redisKills > 0 ? await tasksOnRedis() : []),
  ...(postgresKills > 0 ? await tasksOnPostgres() : []),
  ...(mails > 0 ? await mail() : []),
]
rmSync(folder, { recursive: true })
for (const each of bad) console.error(each)
process.exitCode = bad.length === 0 ? 0 : 1

/** @returns what is wrong */
async function tasks() {
  const alone = await killAndCount({ folder, seed, kills, workers: 1, lease: 15_000 })
  const together = await killAndCount({ folder, seed: seed + 1, kills, workers: 4, lease: 1_000 })
  const report = `# What \`kill -9\` did

${repeat} A process that submits and works on one file is killed and started
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
  publish(report, '../test/sqlite/chaos/REPORT.md', kills === KILLS)
  return [alone, together].flatMap(({ lost, stuck, wrong, damaged, faults }) => [
    ...lost,
    ...stuck,
    ...wrong,
    ...damaged,
    ...faults,
  ])
}

/** @returns what is wrong */
async function tasksOnRedis() {
  if (!canStartRedis()) {
    console.warn('left out: there is no redis-server to start')
    return []
  }
  const server = await RedisServer.start()
  const reports = await onServer(redisKills, seed + 2, (name) => `${server.url}#${name}`)
  await server.end()
  const path = '../test/bullmq/chaos/REPORT.md'
  return told(reports, 'Redis', 'New keys', redisKills, path, redisKills === REDIS_KILLS)
}

/** @returns what is wrong */
async function tasksOnPostgres() {
  if (!canStartPostgres()) {
    console.warn('left out: there is no postgres to start')
    return []
  }
  const server = await PostgresServer.start()
  const reports = await onServer(postgresKills, seed + 6, (name) => `${server.url}#chaos#${name}`)
  await server.end()
  const path = '../test/bullmq/chaos/REPORT-postgres.md'
  return told(reports, 'PostgreSQL', 'A new name', postgresKills, path, postgresKills === POSTGRES_KILLS)
}

/** Kills with a short lease, and some with the one that users have. */
async function onServer(kills, seed, at) {
  const quick = await killAndCount({ folder, seed, kills, workers: 4, lease: 1_000, at })
  const slow = await killAndCount({
    folder,
    seed: seed + 1,
    kills: Math.ceil(kills / 4),
    workers: 4,
    lease: 15_000,
    at,
  })
  return [quick, slow]
}

/** @returns what is wrong */
function told(reports, name, fresh, kills, path, whole) {
  const report = `# What \`kill -9\` did on ${name}

\`SEED=${seed} npm run chaos\`, Node ${process.versions.node}. Of four processes that submit and work on one ${name} one is killed
and started again, ${kills} times. ${fresh} every 25 kills; all is worked off and counted.

| | lease 1 s | lease 15 s |
|---|---|---|
${rows(...reports)}

- **lost**: acknowledged by \`submit\`, \`save\` or a \`succeeded\` event, and not there afterwards. **stuck**: not at its end although all was worked off.
- **run twice**: begun again because it was running when its process was killed. **wrongly**: for any other reason.
- **ended \`CRASHED\`**: was running at three deaths in a row, as the crash rule has it.
- **from the kill**: until what the process was running begins again, in whichever of the others. A task that was running at two deaths in a row
  waits for its turn besides, as the crash rule has it.
`
  publish(report, path, whole)
  return reports.flatMap(({ lost, stuck, wrong, faults }) => [...lost, ...stuck, ...wrong, ...faults])
}

/** @returns what is wrong */
async function mail() {
  const sent = await mailAndKill({
    path: join(folder, 'mails.db'),
    seed,
    mails,
    kills: Math.ceil(mails / 100),
    processes: 2,
  })
  const report = `# What became of mail

${repeat} ${mails} mails to one, two or three recipients each, through a server
that fails at random at every stage of the dialogue and is down for a moment, by two processes on one file, which are
killed on the way; when all is worked off, what the records say of each recipient is held to the mailboxes.

${tableOf(sent)}

- **Recipients** by what is recorded of them at the end.
- **twice, through \`unknown\`**: an attempt was lost after the final dot, before a reply was seen; the next one sent the same Message-ID.
- **kills** by what the process was at, as the server saw it: \`replied\` is right after the reply to the final dot, \`whenever\` is at any moment.
`
  publish(report, '../test/email/chaos/REPORT.md', mails === MAILS)
  return [...sent.faults, ...[sent.again, sent.once].flatMap(({ faults }) => Object.values(faults).flat())]
}

function publish(report, path, whole) {
  console.log(report)
  if (whole) writeFileSync(fileURLToPath(new URL(path, import.meta.url)), report)
}

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
    row('from the kill until what it ran begins again, p50 / p99', (each) => quantiles(each.begun)),
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
