/** Whether Redis keeps what it acknowledges: as Debian ships it, it forgets the last minutes when it is killed. */
import type { Redis as Client } from 'ioredis'

let isSaid = false

/** Warns, once in a process, where a kill of Redis would lose tasks. */
export async function warnIfForgetful(client: Client): Promise<void> {
  if (isSaid) return
  let info: string
  try {
    info = await client.info('persistence')
  } catch {
    return // nobody may ask: a service that is run for others
  }
  if (!/^aof_enabled:0/m.test(info) || isSaid) return
  isSaid = true
  process.emitWarning(
    'this Redis loses the tasks of the last seconds or minutes if it is killed: set "appendonly yes", or see docs/scaling.md',
    { type: 'BackgroundRunnerWarning', code: 'REDIS_FORGETS' },
  )
}
