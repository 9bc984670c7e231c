/** When this process looks whether another one has committed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { ForeignCommits } from '../../src/sqlite/foreign-commits.js'

let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'commits-'))
  path = join(folder, 'tasks.db')
  writeFileSync(`${path}-wal`, '')
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
  rmSync(folder, { recursive: true })
})

it('looks closely again as soon as it has stopped watching, however wide it looked before', () => {
  const look = vi.fn(() => false)
  const commits = new ForeignCommits(path, look, () => true)
  vi.advanceTimersByTime(30)
  expect(look).toHaveBeenCalledTimes(1)
  // It is idle, so it watches, and its own looks are the net below that.
  vi.advanceTimersByTime(100)
  expect(look).toHaveBeenCalledTimes(1)
  commits.stopWatching()
  vi.advanceTimersByTime(30)
  expect(look).toHaveBeenCalledTimes(2)
  commits.close()
  expect(vi.getTimerCount()).toBe(0)
})

it('looks at once when the file is written, and again 30 ms later: a commit can be seen only after its last write', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const look = vi.fn(() => false)
  const commits = new ForeignCommits(path, look, () => true)
  vi.advanceTimersByTime(30)
  expect(look).toHaveBeenCalledTimes(1)
  writeFileSync(`${path}-wal`, 'a commit')
  while (look.mock.calls.length === 1) await new Promise(setImmediate)
  expect(look).toHaveBeenCalledTimes(2)
  vi.advanceTimersByTime(30)
  expect(look).toHaveBeenCalledTimes(3)
  commits.close()
})

it('asks every 30 ms while others write all the time, instead of being woken by each commit', async () => {
  const look = vi.fn(() => true)
  const commits = new ForeignCommits(path, look, () => true)
  for (let n = 1; n <= 5; n++) {
    vi.advanceTimersByTime(30)
    expect(look).toHaveBeenCalledTimes(n)
    writeFileSync(`${path}-wal`, 'x'.repeat(n))
  }
  vi.useRealTimers()
  for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
  expect(look).toHaveBeenCalledTimes(5)
  commits.close()
})
