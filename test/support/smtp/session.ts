/** One connection of the test server. Lines are handled strictly one after the other, also while a hook awaits something. */
import type { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import type { Certificate } from './certificates.js'
import type { Answer, Delivery, Hooks, Stage, Step } from './hooks.js'

/** The last line of a reply, whole. */
const REPLY = /(?:^|\n)\d{3}(?: .*)?\r?\n$/

/** What a session needs of its server. */
export interface Host {
  readonly deliveries: Delivery[]
  readonly commands: string[]
  readonly hooks: Hooks
  readonly extensions: readonly string[]
  readonly login: { readonly user: string; readonly pass: string } | undefined
  /** Of STARTTLS; undefined: it is not announced. */
  readonly starttls: Certificate | undefined
  /** Sessions that work on something. */
  working: number
  /** Sockets that nobody reads any more. */
  readonly frozen: Set<Socket>
  happened(): void
}

type Unanswered = { -readonly [Field in keyof Delivery]: Delivery[Field] }

export class Session {
  readonly #server: Host
  readonly #number: number
  #socket: Socket
  #rest = ''
  #work: Promise<void> = Promise.resolve()
  #mute = false
  #secure = false
  #client = ''
  #from: string | undefined
  #to: string[] = []
  /** Of the message that is coming. */
  #lines: string[] | undefined
  #received = 0
  #loggedIn = false
  /** Takes the next line of a dialogue within AUTH. */
  #next: ((line: string) => Promise<void>) | undefined

  constructor(server: Host, socket: Socket, number: number) {
    this.#server = server
    this.#number = number
    this.#socket = socket
    this.#listen(socket)
  }

  greet(): void {
    this.#then(() => this.#answer('greeting', {}, '220 test.example ESMTP'))
  }

  #listen(socket: Socket): void {
    this.#socket = socket
    socket.setNoDelay(true) // replies to a pipelined envelope are many small writes
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => this.#then(() => this.#take(chunk)))
  }

  #then(work: () => Promise<unknown>): void {
    const server = this.#server
    server.working += 1
    this.#work = this.#work.then(work).then(() => {
      server.working -= 1
      server.happened()
    })
  }

  async #take(chunk: string): Promise<void> {
    if (this.#mute) return
    const socket = this.#socket
    const lines = (this.#rest + chunk).split('\r\n')
    this.#rest = lines.pop() ?? ''
    if (this.#lines !== undefined) {
      this.#received += chunk.length
      if (this.#server.hooks.body !== undefined) await this.#answer('body', { received: this.#received }, {})
    }
    for (const line of lines) {
      // What came in one piece with STARTTLS was not said under TLS.
      if (this.#mute || socket.destroyed || socket !== this.#socket) return
      if (this.#lines === undefined) await this.#command(line)
      else if (line === '.') await this.#ended(this.#lines, line)
      else this.#lines.push(line.startsWith('.') ? line.slice(1) : line)
    }
  }

  async #command(line: string): Promise<void> {
    const { login, commands, starttls } = this.#server
    commands.push(line)
    this.#server.happened()
    if (this.#next !== undefined) {
      const next = this.#next
      this.#next = undefined
      return next(line)
    }
    const [verb = '', name = ''] = line.split(/[ :]/, 2)
    // Addresses are UTF-8 with SMTPUTF8; they came one character a byte.
    const address = Buffer.from(/<([^>]*)>/.exec(line)?.[1] ?? '', 'latin1').toString()
    switch (verb.toUpperCase()) {
      case 'EHLO':
      case 'HELO': {
        this.#reset()
        this.#client = name
        const stage = verb.toUpperCase() === 'EHLO' ? 'ehlo' : 'helo'
        await this.#answer(stage, { line }, stage === 'ehlo' ? this.#hello() : '250 test.example')
        return
      }
      case 'STARTTLS':
        if (starttls === undefined || this.#secure) return this.#say('502 5.5.1 no TLS here')
        if (!(await this.#answer('starttls', { line }, '220 2.0.0 go ahead'))) return
        this.#socket.removeAllListeners('data')
        this.#secure = true
        this.#rest = ''
        this.#listen(new TLSSocket(this.#socket, { isServer: true, ...starttls }))
        this.#socket.on('error', () => {})
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
        this.#received = 0
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
    const { extensions, login, starttls } = this.#server
    const lines = ['test.example', ...extensions]
    if (login !== undefined) lines.push('AUTH PLAIN LOGIN')
    if (starttls !== undefined && !this.#secure) lines.push('STARTTLS')
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
      return this.#say('334 UGFzc3dvcmQ6')
    }
    return this.#say('334 VXNlcm5hbWU6')
  }

  async #ended(lines: readonly string[], line: string): Promise<void> {
    this.#lines = undefined
    const raw = `${lines.join('\r\n')}\r\n`
    const messageId = /^Message-ID:\s*(\S+)/im.exec(raw)?.[1] ?? ''
    const { from, to, connection } = { from: this.#from ?? '', to: this.#to, connection: this.#number }
    const delivery: Unanswered = { from, to, raw, messageId, connection, answered: false }
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
    delivery?: Unanswered,
  ): Promise<boolean> {
    const told = await this.#server.hooks[stage]?.({
      line: '',
      address: '',
      raw: '',
      user: '',
      pass: '',
      received: 0,
      from: this.#from ?? '',
      to: [...this.#to],
      connection: this.#number,
      client: this.#client,
      ...step,
    })
    const given = told ?? usual
    const answer: Answer = typeof given === 'string' ? { reply: given } : given
    const { reply, raw = reply === undefined ? '' : `${Buffer.from(reply).toString('latin1')}\r\n` } = answer
    const { drop = false, hang = false, accept = raw.startsWith(good), store = accept, flood } = answer
    if (delivery !== undefined && store) this.#server.deliveries.push(delivery)
    this.#server.happened()
    this.#mute ||= hang
    await this.#write(raw, answer.pieces)
    if (delivery !== undefined) delivery.answered = REPLY.test(raw) && !this.#socket.destroyed
    if (flood !== undefined) await this.#flood(flood)
    // A client that is in the middle of its message is to feel that nobody reads it.
    if (hang && stage === 'body') this.#server.frozen.add(this.#socket.pause())
    if (drop && raw !== '') this.#socket.end()
    else if (drop) this.#socket.destroy()
    this.#server.happened()
    return accept && !drop && !hang
  }

  async #write(raw: string, pieces: number = raw.length): Promise<void> {
    for (let at = 0; at < raw.length; at += pieces) {
      if (at > 0) await setImmediate()
      if (!this.#socket.destroyed) this.#socket.write(raw.slice(at, at + pieces), 'latin1')
    }
  }

  async #flood(text: string): Promise<void> {
    this.#mute = true
    while (!this.#socket.destroyed) {
      this.#socket.write(text, 'latin1')
      await setImmediate()
    }
  }

  async #say(reply: string): Promise<void> {
    await this.#write(`${reply}\r\n`)
  }
}
