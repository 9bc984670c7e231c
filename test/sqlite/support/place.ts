/** A folder of its own for each test of a file, with the path of a database in it, and what is to be closed afterwards. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'

export interface Place {
  folder: string
  path: string
  /** What is to happen after the test; the last one first. */
  after(close: () => unknown): void
}

/** To be called once, at the head of a file of tests. */
export function place(): Place {
  const closers: (() => unknown)[] = []
  const at: Place = { folder: '', path: '', after: (close) => void closers.push(close) }
  beforeEach(() => {
    at.folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
    at.path = join(at.folder, 'tasks.db')
  })
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
    rmSync(at.folder, { recursive: true, force: true })
  })
  return at
}
