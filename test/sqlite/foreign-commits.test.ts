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
  const look = vi.fn()
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
