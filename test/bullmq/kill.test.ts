/** What `kill -9` may do to one of several processes that submit and work on one Redis, or one PostgreSQL: nothing acknowledged is lost. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, it } from 'vitest'
import { killAndCount } from '../sqlite/chaos/kills.js'
import { type SharedServer, sharedServers } from '../support/servers.js'

const KILLS = process.env['CI'] === 'true' ? 10 : 3
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1_000_000))

const servers = await sharedServers()
const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
afterAll(async () => {
  rmSync(folder, { recursive: true })
  for (const server of servers) await server.end()
})

const nothing = { lost: [], stuck: [], wrong: [], faults: [] }

for (const server of servers) server.describe('kill -9', () => suite(server))

function suite({ name: kind, path }: SharedServer): void {
  it(`of one of four that work on one ${kind}, again and again: what was acknowledged reaches its end, and only what ran runs twice`, async () => {
    const report = await killAndCount({
      folder,
      seed: SEED,
      kills: KILLS,
      workers: 4,
      lease: 1_000,
      at: path,
    })
    const { submitted, lost, stuck, wrong, faults, ranTwice, begun } = report
    console.log(
      `SEED=${SEED}: ${submitted} submitted, ${ranTwice} run twice, at most ${Math.max(0, ...begun)} ms later`,
    )
    assert.deepEqual({ lost, stuck, wrong, faults }, nothing, `SEED=${SEED} repeats it`)
    assert.ok(submitted > 0, 'there was something to lose')
  }, 60_000)
}
