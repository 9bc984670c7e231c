import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, it } from 'vitest'
import { isAlive, thisProcess } from '../../src/sqlite/process-identity.js'

const here = thisProcess()

describe.skipIf(here.boot === null)('whether a process is still there', () => {
  it('is known of one of this boot and pid namespace', () => {
    assert.equal(isAlive(here, here), true)
    const { pid } = spawnSync('true')
    assert.equal(isAlive({ ...here, pid, started: '1' }, here), false, 'no such process')
  })

  it('is not fooled by a pid that is used again', () => {
    assert.equal(isAlive({ ...here, started: String(Number(here.started) - 1) }, here), false)
  })

  it('is not known of one of another machine, boot or container', () => {
    for (const boot of ['another boot', null]) assert.equal(isAlive({ ...here, boot }, here), undefined)
    assert.equal(isAlive(here, { ...here, boot: null }), undefined)
    assert.equal(isAlive({ ...here, started: null }, here), undefined)
  })

  it('sees that one is dead which nobody has reaped', async () => {
    // The shell becomes `sleep`, which asks after no child of the shell's.
    const parent = spawn('sh', ['-c', 'sleep 0.01 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [said] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(said)
    const stat = (): string[] => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    while (stat()[0] !== 'Z') await new Promise(setImmediate)
    assert.equal(isAlive({ ...here, pid, started: stat()[19] ?? null }, here), false)
    parent.kill('SIGKILL')
    await once(parent, 'exit')
  })
})
