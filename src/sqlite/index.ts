/** The public surface of `background-runner/sqlite`, and nothing else. */
import { resolve } from 'node:path'
import type { Duration } from '../duration.js'
import type { Engine } from '../engine.js'
import { localEngine } from '../local/local-engine.js'
import { fields, type Rule, read, required, rule, span } from '../rules.js'
import type { Durability } from './open.js'
import { SqliteStore } from './sqlite-store.js'

export interface SqliteOptions {
  /** The file; made where there is none, in a folder that exists. */
  readonly path: string
  /**
   * `process`: what `submit` has acknowledged survives any end of a process. `power`: a power cut too; each commit waits
   * for the disk. @default 'process'
   */
  readonly durability?: Durability
  /** How long a process that shares the file may be silent before its tasks are taken over. @default '15s' */
  readonly lease?: Duration
}

/** A shorter one is over before its process has had a chance to show that it lives, ms. */
const SHORTEST_LEASE = 100

const leaseRule: Rule<number> = (value, path, issues) => {
  const ms = span(value, path, issues)
  if (ms < SHORTEST_LEASE) issues.push({ path, message: `must be at least ${SHORTEST_LEASE} ms, got ${ms}` })
  return ms
}

const OPTIONS = fields({
  path: required(
    rule<string>(
      (value) =>
        typeof value === 'string' && value !== '' && !/^(?::memory:|file:)/.test(value) && !value.includes('\0'),
      'must be the path of a file',
    ),
  ),
  durability: rule<Durability>((value) => value === 'process' || value === 'power', "must be 'process' or 'power'"),
  lease: leaseRule,
})

/**
 * The embedded durable engine: every task in one SQLite file, which several processes on one machine may share.
 *
 * @throws {InvalidInputError} naming each option that is wrong
 * @throws {EngineError} {MissingDependencyError} from `runner.ready()`: the file cannot be opened, or no driver is installed
 */
export function sqlite(options: SqliteOptions): Engine {
  const { path, durability = 'process', lease = 15_000 } = read('bad sqlite options', options, OPTIONS)
  // The process may go to another folder later.
  return localEngine(new SqliteStore({ path: resolve(path), durability, lease }))
}

export type { Durability } from './open.js'
