/** Both examples behind one set of helpers: in this process, or as the child process that a user starts. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { getRequestListener } from '@hono/node-server'
import type { Handler } from 'background-runner/http'
import { onTestFinished } from 'vitest'
import { createApp as createExpressApp } from '../../examples/express/app.js'
import { createApp as createHonoApp } from '../../examples/hono/app.js'
import type { Config } from '../../examples/shared/config.js'
import { createDashboard } from '../../examples/shared/dashboard.js'
import { type CaughtMail, startSmtpCatcher } from '../../examples/shared/smtp-catcher.js'
import { createRunner, type Runner, type Settings } from '../../examples/shared/tasks.js'
import { builtProgram, FROM_SOURCES } from '../support/programs.js'

export const FRAMEWORKS = ['express', 'hono'] as const
export type Framework = (typeof FRAMEWORKS)[number]

const servers: Record<Framework, (runner: Runner, outbox?: readonly CaughtMail[], tasks?: Handler) => Server> = {
  express: (runner, outbox, tasks) => createServer(createExpressApp(runner, outbox, tasks)),
  hono: (runner, outbox, tasks) => createServer(getRequestListener(createHonoApp(runner, outbox, tasks).fetch)),
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; undefined where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of many shapes
  readonly json: any
}

export const MAIL = { recipient: 'ada@example.com', subject: 'Hello', content: 'Hello Ada' }

/** What can be asked of a running example. */
export class Client {
  readonly url: string

  constructor(url: string) {
    this.url = url
  }

  async ask(path: string, init?: RequestInit & { duplex?: 'half' }): Promise<Answer> {
    const response = await fetch(this.url + path, init)
    const text = await response.text()
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      json = undefined
    }
    return { status: response.status, headers: response.headers, text, json }
  }

  post(path: string): Promise<Answer> {
    return this.ask(path, { method: 'POST' })
  }

  /** As JSON; a string goes as it is. */
  sendJson(body: unknown, type: string = 'application/json'): Promise<Answer> {
    return this.ask('/send_email', {
      method: 'POST',
      headers: { 'content-type': type },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  }

  sendForm(body: Record<string, string> | string): Promise<Answer> {
    const text = typeof body === 'string' ? body : new URLSearchParams(body).toString()
    return this.sendJson(text, 'application/x-www-form-urlencoded')
  }

  /** @returns the id of an accepted mail */
  async accepted(mail: Partial<typeof MAIL> = {}): Promise<string> {
    const { status, json } = await this.sendJson({ ...MAIL, ...mail })
    if (status !== 202) throw new Error(`not accepted: ${status} ${JSON.stringify(json)}`)
    return json.task_id
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  async status(id: string): Promise<any> {
    return (await this.ask(`/task_status/${id}`)).json
  }
}

export interface Example extends Client {
  readonly runner: Runner
}

/** An example in this process; without an `smtpUrl` its mails go to a catcher, and there is an outbox. */
export async function startInProcess(
  framework: Framework,
  settings: Partial<Settings> = {},
  dashboard: Pick<Config, 'host' | 'tasksToken'> = { host: '127.0.0.1', tasksToken: undefined },
): Promise<Example> {
  const catcher = settings.smtpUrl === undefined ? await startSmtpCatcher() : undefined
  const runner = createRunner({
    smtpUrl: catcher?.url ?? '',
    mailFrom: 'App <app@example.com>',
    databasePath: 'memory',
    concurrency: 5,
    retryDelay: 10,
    ...settings,
  })
  const server = servers[framework](runner, catcher?.mails, createDashboard(runner, dashboard))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.close()
    server.closeAllConnections()
    await runner.close({ deadline: 0, drain: false })
    await catcher?.close()
  })
  return Object.assign(new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), { runner })
}

/** A hook of the SMTP server that awaits `opened` goes on when the test calls `open`. */
export function door(): { readonly opened: Promise<undefined>; readonly open: () => void } {
  let open = (): void => {}
  const opened = new Promise<undefined>((resolve) => {
    open = () => resolve(undefined)
  })
  return { opened, open: () => open() }
}

/** From its sources it starts as a user starts it; built, in a third of the time. */
export type From = 'sources' | 'built'

function argsFor(framework: Framework, from: From): string[] {
  const path = `examples/${framework}/main.ts`
  return from === 'built' && !FROM_SOURCES ? [builtProgram(path)] : ['--import', 'tsx', path]
}

/** The program, in a process of its own. */
export class Program {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  readonly #ended: Promise<number | null>
  stdout = ''
  stderr = ''

  constructor(framework: Framework, env: Record<string, string>, from: From = 'built') {
    const root = fileURLToPath(new URL('../../', import.meta.url))
    const child = spawn(process.execPath, argsFor(framework, from), {
      cwd: root,
      // Nothing of the environment of the tests may steer the program.
      env: { PORT: '0', DATABASE_PATH: 'memory', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    // 'close', not 'exit': then its output is complete.
    this.#ended = once(child, 'close').then(([code]) => code as number | null)
    onTestFinished(() => {
      child.kill('SIGKILL')
    })
  }

  /** Resolves when it listens. */
  async client(): Promise<Client> {
    const [, url] = await this.printed(/listening on (\S+)\n/)
    return new Client(url as string)
  }

  /** Resolves when its standard output matches; rejects when it ends without that. */
  async printed(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = this.stdout.match(pattern)
      if (match !== null) return match
      const ended = this.#ended.then((code) => {
        if (!pattern.test(this.stdout)) throw new Error(`ended with ${code}: ${this.stdout}${this.stderr}`)
      })
      await Promise.race([once(this.#child.stdout, 'data'), ended])
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Its exit code; null where a signal killed it. */
  ended(): Promise<number | null> {
    return this.#ended
  }
}
