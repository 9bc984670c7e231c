/** What processes of a test share: each makes its own engine of it. */
import type { Engine } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { sqlite } from 'background-runner/sqlite'

/** @param path of a file; or where Redis is, and after a # the prefix of its keys  @param lease ms */
export function engineAt(path: string, lease?: number, offline: 'fail' | 'wait' = 'fail'): Engine {
  const options = lease === undefined ? {} : { lease }
  if (!isOnRedis(path)) return sqlite({ path, ...options })
  const [connection = '', prefix = ''] = path.split('#')
  return bullmq({ connection, prefix, offline, ...options })
}

export function isOnRedis(path: string): boolean {
  return path.includes('#')
}
