/**
 * SIGTERM and SIGINT (Ctrl+C): take no more requests, finish what waits, and end.
 *
 * What the report calls returned, abandoned or pending (a mail that waits for its retry) is done after the next start; in
 * this process's memory (DATABASE_PATH=memory) it is lost with it.
 */
import type { Server } from 'node:http'
import type { SmtpCatcher } from './smtp-catcher.js'
import type { Runner } from './tasks.js'

/** Kubernetes kills 30 s after SIGTERM; `docker stop` after 10 s, unless it is told `--time`. */
const DEADLINE = '25s'
/** One Ctrl+C under `npm run` can arrive twice, some ms apart: only a later one is a second one. ms */
const SAME_SIGNAL = 2_000

export function shutDownOnSignal(server: Server, runner: Runner, catcher: SmtpCatcher | undefined): void {
  let since: number | undefined

  const onSignal = (signal: NodeJS.Signals): void => {
    if (since === undefined) {
      since = performance.now()
      shutDown(signal).catch((error: unknown) => {
        console.error(error)
        process.exit(1)
      })
    } else if (performance.now() - since > SAME_SIGNAL) {
      console.error(`${signal} again: ending at once`)
      process.exit(1)
    }
  }

  const shutDown = async (signal: NodeJS.Signals): Promise<void> => {
    server.close()
    server.closeIdleConnections()
    console.log(`${signal}: taking no more requests, finishing what waits; a second signal after 2 s ends at once`)
    // Left to itself a runner on a file would keep what waits for the next start: perhaps there is none.
    const { completed, returned, abandoned, pending } = await runner.close({ deadline: DEADLINE, drain: true })
    console.log(`completed ${completed}, returned ${returned}, abandoned ${abandoned}, pending ${pending}`)
    // Last, since the mails above went to it.
    await catcher?.close()
    process.exit(0)
  }

  // `on`, not `once`: without a listener the signal's second copy would kill the process.
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}
