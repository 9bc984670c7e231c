/** A group commit over a database that does as it is told, and a clock that stands still until it is told. */
import { EngineError } from 'background-runner'
import { afterEach, beforeEach, vi } from 'vitest'
import { GroupCommit, type Hooks } from '../../../src/sqlite/group-commit.js'
import { turns } from '../../../src/testing/real-time.js'
import { FakeDatabase } from './fake-database.js'

/** To be called once, at the head of a file of tests. */
export function stopTheClock(): void {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
  afterEach(() => void vi.useRealTimers())
}

export interface GroupWorld {
  readonly database: FakeDatabase
  readonly group: GroupCommit
  /** Hooks and what else happened, in order. */
  readonly told: string[]
}

export function world(hooks: Partial<Hooks> = {}): GroupWorld {
  const database = new FakeDatabase()
  const told: string[] = []
  const group = new GroupCommit(database, '/data/tasks.db', () => 0.5, {
    check: () => {},
    begun: () => void told.push('begun'),
    beforeCommit: () => void told.push('beforeCommit'),
    committed: () => void told.push('committed'),
    rolledBack: () => void told.push('rolledBack'),
    lost: () => void told.push('lost'),
    ...hooks,
  })
  return { database, group, told }
}

/** Lets all happen that happens within `ms`. */
export async function pass(ms: number): Promise<void> {
  await turns()
  for (let left = ms; left > 0; left -= 5) {
    await vi.advanceTimersByTimeAsync(Math.min(left, 5))
    await turns(2)
  }
}

export const transactions = ({ database }: GroupWorld): number => database.log.filter((sql) => sql === 'COMMIT').length

export function isEngineError(pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof EngineError && error.code === 'ENGINE_ERROR' && pattern.test(error.message)
}
