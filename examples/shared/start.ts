/** How an example starts: the parts are made from the environment, put together, and end in this order reversed. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Handler } from 'background-runner/http'
import { type Config, ConfigError, readConfig } from './config.js'
import { createDashboard, dashboardNotice } from './dashboard.js'
import { shutDownOnSignal } from './shutdown.js'
import { type CaughtMail, type SmtpCatcher, startSmtpCatcher } from './smtp-catcher.js'
import { createRunner, type Runner } from './tasks.js'

/** @param createServer makes the HTTP server of one framework; `tasks` is the dashboard, to be mounted at /tasks */
export async function start(
  createServer: (runner: Runner, outbox: readonly CaughtMail[] | undefined, tasks: Handler) => Server,
): Promise<void> {
  try {
    const config = readConfig(process.env)
    let catcher: SmtpCatcher | undefined
    let { smtpUrl } = config
    if (smtpUrl === undefined) {
      catcher = await startSmtpCatcher()
      smtpUrl = catcher.url
    }
    const runner = createRunner({ ...config, smtpUrl })
    await opened(runner, config)
    runner.on('failed', ({ name, id, error }) => console.error(`${name} ${id} failed: ${error?.message}`))

    const server = createServer(runner, catcher?.mails, createDashboard(runner, config))
    shutDownOnSignal(server, runner, catcher)
    const url = await listen(server, config)
    console.log(`listening on ${url}`)
    console.log(dashboardNotice(url, config))
    if (catcher !== undefined) console.log(`no SMTP_URL is set: mails are not delivered, see them at ${url}/outbox`)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    console.error(error.message)
    process.exit(1)
  }
}

/** Rather than with the first task it is told now that the file cannot be opened. */
async function opened(runner: Runner, { databasePath }: Config): Promise<void> {
  try {
    await runner.ready()
  } catch (error) {
    throw new ConfigError(`cannot open DATABASE_PATH ${databasePath}: ${(error as Error).message}`)
  }
}

/** @returns its address, with the real port also where PORT is 0 */
async function listen(server: Server, { host, port }: Config): Promise<string> {
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    throw new ConfigError(`cannot listen on HOST ${host}, PORT ${port}: ${(error as Error).message}`)
  }
  const { address, family, port: actual } = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`
}
