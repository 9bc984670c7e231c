/** What processes of a test share: each makes its own engine of it. */
import type { Engine } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { sqlite } from 'background-runner/sqlite'

/**
 * @param path of a file; or where Redis or PostgreSQL is, and after a # the prefix or schema, and perhaps after another one
 *   the name
 * @param lease ms
 */
export function engineAt(path: string, lease?: number, offline: 'fail' | 'wait' = 'fail'): Engine {
  const options = lease === undefined ? {} : { lease }
  if (!isOnServer(path)) return sqlite({ path, ...options })
  const [connection = '', prefix = '', name = 'tasks'] = path.split('#')
  return bullmq({ connection, prefix, name, offline, ...options })
}

export function isOnServer(path: string): boolean {
  return path.includes('#')
}
