/**
 * A small SMTP server for tests, on `node:net` alone, that also misbehaves on command.
 *
 * It takes every message unless a hook says otherwise. A hook is asked at its stage of the dialogue (`greeting`, `ehlo`,
 * `auth`, `mail`, `rcpt`, `data`, `end`, `rset`, `quit`) and answers with nothing (go on as a good server), with a reply
 * (`'451 4.7.1 later'`), or with an `Answer`: drop the connection, hang for ever, store the message or not. A hook may
 * be asynchronous: what it awaits is the delay, so a test decides when the server goes on, and nothing waits for a clock.
 *
 * @example
 * const server = await startSmtpServer({ rcpt: ({ address }) => (address === 'b@x' ? '550 no such user' : undefined) })
 * emailTask({ transport: server.url, from: 'app@example.com' })
 * server.deliveries // [{ from, to, raw }]
 * await server.until(() => server.connections.open === 0)
 * await server.close()
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

export type Stage = 'greeting' | 'ehlo' | 'auth' | 'mail' | 'rcpt' | 'data' | 'end' | 'rset' | 'quit'

/** What a hook may answer beside a reply. */
export interface Answer {
  /** Several lines: `'250-a\r\n250 b'`. */
  readonly reply?: string
  /** End the connection, after the reply if there is one. */
  readonly drop?: boolean
  /** Answer nothing, and nothing from now on, in this connection. */
  readonly hang?: boolean
  /** At `end` only: whether the message counts as delivered. @default if the reply is 2yz */
  readonly store?: boolean
}

export const DROP: Answer = { drop: true }
export const HANG: Answer = { hang: true }
/** At `end`: the message was taken, but its sender never hears of it. */
export const DROP_AFTER_STORING: Answer = { drop: true, store: true }

/** What a hook is told. */
export interface Step {
  /** The line as it came; the greeting has none. */
  readonly line: string
  /** The address of `mail` and `rcpt`. */
  readonly address: string
  /** 1 for the first connection. */
  readonly connection: number
  /** Recipients taken so far, and the sender. */
  readonly to: readonly string[]
  readonly from: string
  /** At `end`: the message. */
  readonly raw: string
  /** At `auth`: what was given. */
  readonly user: string
  readonly pass: string
}

type Told = string | Answer | undefined
export type Hook = (step: Step) => Told | Promise<Told>

export interface Delivery {
  readonly from: string
  readonly to: readonly string[]
  /** The message, dots unstuffed, one character a byte. */
  readonly raw: string
  readonly connection: number
}

export interface SmtpServerOptions extends Partial<Record<Stage, Hook>> {
  /** What is announced after EHLO. @default 8BITMIME, SMTPUTF8; PIPELINING where a test names it */
  readonly extensions?: readonly string[]
  /** Demand this login (AUTH PLAIN or LOGIN). @default none */
  readonly login?: { readonly user: string; readonly pass: string }
}

export interface SmtpServer {
  readonly port: number
  /** `smtp://127.0.0.1:port`, with the login if there is one. */
  readonly url: string
  readonly deliveries: readonly Delivery[]
  /** Every line that clients sent outside of messages. */
  readonly commands: readonly string[]
  readonly connections: { readonly total: number; readonly open: number; readonly most: number }
  /** Hooks may be changed while it runs. */
  readonly hooks: Partial<Record<Stage, Hook>>
  /** Resolves once it is so; looked at after each thing that happens here. */
  until(happened: () => boolean): Promise<void>
  /** Ends every connection. */
  close(): Promise<void>
}

export async function startSmtpServer(options: SmtpServerOptions = {}): Promise<SmtpServer> {
  const { extensions = ['8BITMIME', 'SMTPUTF8'], login, ...hooks } = options
  const server = new TestSmtpServer(extensions, login, hooks)
  await server.listen()
  return server
}

class TestSmtpServer implements SmtpServer {
  readonly deliveries: Delivery[] = []
  readonly commands: string[] = []
  readonly connections: { total: number; open: number; most: number } = { total: 0, open: 0, most: 0 }
  readonly hooks: Partial<Record<Stage, Hook>>
  readonly extensions: readonly string[]
  readonly login: SmtpServerOptions['login']
  readonly #server: Server
  readonly #sockets: Set<Socket> = new Set()
  readonly #watchers: Set<() => void> = new Set()

  constructor(extensions: readonly string[], login: SmtpServerOptions['login'], hooks: Partial<Record<Stage, Hook>>) {
    this.extensions = extensions
    this.login = login
    this.hooks = hooks
    this.#server = createServer((socket) => this.#connected(socket))
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    const { user = '', pass = '' } = this.login ?? {}
    const login = this.login === undefined ? '' : `${encodeURIComponent(user)}:${encodeURIComponent(pass)}@`
    return `smtp://${login}127.0.0.1:${this.port}`
  }

  #connected(socket: Socket): void {
    const { connections } = this
    connections.total += 1
    connections.open += 1
    connections.most = Math.max(connections.most, connections.open)
    this.#sockets.add(socket)
    socket.on('error', () => {}) // a client that resets is a client that left
    socket.on('close', () => {
      connections.open -= 1
      this.#sockets.delete(socket)
      this.happened()
    })
    new Session(this, socket, connections.total).greet()
    this.happened()
  }

  happened(): void {
    for (const watch of this.#watchers) watch()
  }

  until(happened: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const watch = (): void => {
        try {
          if (!happened()) return
          resolve()
        } catch (error) {
          reject(error)
        }
        this.#watchers.delete(watch)
      }
      this.#watchers.add(watch)
      watch()
    })
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** One connection. Lines are handled strictly one after the other, also while a hook awaits something. */
class Session {
  readonly #server: TestSmtpServer
  readonly #socket: Socket
  readonly #number: number
  #rest = ''
  #work: Promise<void> = Promise.resolve()
  #mute = false
  #from: string | undefined
  #to: string[] = []
  #lines: string[] | undefined
  #loggedIn = false
  /** Takes the next line of a dialogue within AUTH. */
  #next: ((line: string) => Promise<void>) | undefined

  constructor(server: TestSmtpServer, socket: Socket, number: number) {
    this.#server = server
    this.#socket = socket
    this.#number = number
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      const lines = (this.#rest + chunk).split('\r\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.#work = this.#work.then(() => this.#take(line))
    })
  }

  greet(): void {
    this.#work = this.#answer('greeting', {}, '220 test.example ESMTP').then(() => {})
  }

  async #take(line: string): Promise<void> {
    if (this.#mute || this.#socket.destroyed) return
    if (this.#lines !== undefined) return this.#takeData(line)
    const { login, commands } = this.#server
    commands.push(line)
    this.#server.happened()
    if (this.#next !== undefined) {
      const next = this.#next
      this.#next = undefined
      return next(line)
    }
    const [verb = ''] = line.split(/[ :]/, 1)
    // Addresses are UTF-8 with SMTPUTF8; they came one character a byte.
    const address = Buffer.from(/<([^>]*)>/.exec(line)?.[1] ?? '', 'latin1').toString()
    switch (verb.toUpperCase()) {
      case 'EHLO':
      case 'HELO':
        this.#reset()
        await this.#answer('ehlo', { line }, this.#hello())
        return
      case 'AUTH':
        return this.#auth(line)
      case 'MAIL':
        if (login !== undefined && !this.#loggedIn) return this.#say('530 5.7.0 authentication required')
        if (this.#from !== undefined) return this.#say('503 5.5.1 nested MAIL command')
        if (await this.#answer('mail', { line, address }, '250 2.1.0 ok')) this.#from = address
        return
      case 'RCPT':
        if (this.#from === undefined) return this.#say('503 5.5.1 MAIL first')
        if (await this.#answer('rcpt', { line, address }, '250 2.1.5 ok')) this.#to.push(address)
        return
      case 'DATA':
        if (this.#to.length === 0) return this.#say('503 5.5.1 RCPT first')
        if (await this.#answer('data', { line }, '354 go on', '3')) this.#lines = []
        return
      case 'RSET':
        this.#reset()
        await this.#answer('rset', { line }, '250 2.0.0 ok')
        return
      case 'NOOP':
        return this.#say('250 2.0.0 ok')
      case 'QUIT':
        await this.#answer('quit', { line }, { reply: '221 2.0.0 bye', drop: true })
        return
      default:
        return this.#say('502 5.5.2 unknown command')
    }
  }

  #hello(): string {
    const { extensions, login } = this.#server
    const lines = ['test.example', ...extensions, ...(login === undefined ? [] : ['AUTH PLAIN LOGIN'])]
    return lines.map((line, i) => `250${i === lines.length - 1 ? ' ' : '-'}${line}`).join('\r\n')
  }

  async #auth(line: string): Promise<void> {
    const [, method = '', initial] = line.split(' ')
    const decode = (text: string): string => Buffer.from(text, 'base64').toString()
    const verify = async (from: string, user: string, pass: string): Promise<void> => {
      const { login } = this.#server
      const good = login !== undefined && user === login.user && pass === login.pass
      const reply = good ? '235 2.7.0 welcome' : '535 5.7.8 wrong user or password'
      this.#loggedIn = await this.#answer('auth', { line: from, user, pass }, reply)
    }
    const plain = async (text: string): Promise<void> => {
      const [, user = '', pass = ''] = decode(text).split('\0')
      await verify(text, user, pass)
    }
    if (method.toUpperCase() === 'PLAIN') {
      if (initial !== undefined) return plain(initial)
      this.#next = plain
      return this.#say('334 ')
    }
    if (method.toUpperCase() !== 'LOGIN') return this.#say('504 5.5.4 unknown mechanism')
    this.#next = async (user) => {
      this.#next = (pass) => verify(pass, decode(user), decode(pass))
      this.#say('334 UGFzc3dvcmQ6')
    }
    this.#say('334 VXNlcm5hbWU6')
  }

  async #takeData(line: string): Promise<void> {
    const lines = this.#lines as string[]
    if (line !== '.') {
      lines.push(line.startsWith('.') ? line.slice(1) : line)
      return
    }
    this.#lines = undefined
    const raw = `${lines.join('\r\n')}\r\n`
    const delivery = { from: this.#from ?? '', to: this.#to, raw, connection: this.#number }
    await this.#answer('end', { line, raw }, '250 2.0.0 queued', '2', delivery)
    this.#reset()
  }

  #reset(): void {
    this.#from = undefined
    this.#to = []
  }

  /** Asks the hook, does what it says, and tells whether the client may go on. */
  async #answer(
    stage: Stage,
    step: Partial<Step>,
    usual: string | Answer,
    good: string = '2',
    delivery?: Delivery,
  ): Promise<boolean> {
    const told = await this.#server.hooks[stage]?.({
      line: '',
      address: '',
      raw: '',
      user: '',
      pass: '',
      from: this.#from ?? '',
      to: [...this.#to],
      connection: this.#number,
      ...step,
    })
    const given = told ?? usual
    const { reply, drop = false, hang = false, store }: Answer = typeof given === 'string' ? { reply: given } : given
    const ok = reply?.startsWith(good) ?? false
    if (delivery !== undefined && (store ?? ok)) this.#server.deliveries.push(delivery)
    this.#mute ||= hang
    if (reply !== undefined) this.#say(reply)
    if (drop) this.#socket.end()
    if (drop && reply === undefined) this.#socket.destroy()
    this.#server.happened()
    return ok && !drop && !hang
  }

  #say(reply: string): void {
    if (!this.#socket.destroyed) this.#socket.write(`${reply}\r\n`, 'utf8')
  }
}
