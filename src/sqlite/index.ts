/** The public surface of `background-runner/sqlite`, and nothing else. */
import type { Duration } from '../duration.js'
import type { Engine } from '../engine.js'
import { localEngine } from '../local/local-engine.js'
import { fields, read, required, rule, span } from '../rules.js'
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

const OPTIONS = fields({
  path: required(
    rule<string>(
      (value) =>
        typeof value === 'string' && value !== '' && !/^(?::memory:|file:)/.test(value) && !value.includes('\0'),
      'must be the path of a file',
    ),
  ),
  durability: rule<Durability>((value) => value === 'process' || value === 'power', "must be 'process' or 'power'"),
  lease: span,
})

/**
 * The embedded durable engine: every task in one SQLite file, which several processes on one machine may share.
 *
 * @throws {InvalidInputError} naming each option that is wrong
 * @throws {EngineError} {MissingDependencyError} from `runner.ready()`: the file cannot be opened, or no driver is installed
 */
export function sqlite(options: SqliteOptions): Engine {
  const { path, durability = 'process', lease = 15_000 } = read('bad sqlite options', options, OPTIONS)
  return localEngine(new SqliteStore({ path, durability, lease }))
}

export type { Durability } from './open.js'
