/** Where the tasks of processes of a test are kept: each makes its own engine there. */
import type { Engine } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { sqlite } from 'background-runner/sqlite'

export type Where = { readonly path: string } | RedisPlace

export interface RedisPlace {
  /** Its URL. */
  readonly redis: string
  readonly prefix: string
}

/** @param lease ms */
export function engineOf(where: Where, lease?: number): Engine {
  const options = lease === undefined ? {} : { lease }
  return 'path' in where
    ? sqlite({ path: where.path, ...options })
    : bullmq({ connection: where.redis, prefix: where.prefix, ...options })
}
