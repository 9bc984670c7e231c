/**
 * A small SMTP server for tests, on `node:net` alone, that also misbehaves on command.
 *
 * It takes every message unless a hook says otherwise. A hook is asked at its stage of the dialogue and answers with
 * nothing (go on as a good server), with a reply (`'451 4.7.1 later'`), or with an `Answer`: say it in pieces, say
 * garbage, drop the connection, hang for ever, store the message or not. A hook may be asynchronous: what it awaits is the
 * delay, so a test decides when the server goes on, and nothing waits for a clock. Ready-made ones: smtp/misbehaviour.ts.
 *
 * @example
 * const server = await startSmtpServer({ rcpt: ({ address }) => (address === 'b@x' ? '550 no such user' : undefined) })
 * emailTask({ transport: server.url, from: 'app@example.com' })
 * server.deliveries // [{ from, to, raw, messageId }]
 * server.mailbox('a@x') // the same, of one recipient
 * await server.until(() => server.connections.open === 0)
 * await server.close()
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Certificate } from './smtp/certificates.js'
import type { Delivery, Hooks } from './smtp/hooks.js'
import { type Host, Session } from './smtp/session.js'

export * from './smtp/hooks.js'

export interface SmtpServerOptions extends Hooks {
  /** What is announced after EHLO. @default 8BITMIME, SMTPUTF8; PIPELINING where a test names it */
  readonly extensions?: readonly string[]
  /** Demand this login (AUTH PLAIN or LOGIN). @default none */
  readonly login?: { readonly user: string; readonly pass: string }
  /** Speak TLS: from the beginning, or when the client asks for it. @default never */
  readonly tls?: 'implicit' | 'starttls'
  /** Of TLS; may be exchanged by `restart`. */
  readonly certificate?: Certificate
}

export interface SmtpServer {
  readonly port: number
  /** `smtp://127.0.0.1:port`, with the login if there is one; `smtps:` where TLS is implicit. */
  readonly url: string
  /** What was taken, in this order. */
  readonly deliveries: readonly Delivery[]
  /** Every line that clients sent outside of messages. */
  readonly commands: readonly string[]
  readonly connections: { readonly total: number; readonly open: number; readonly most: number }
  /** Hooks may be changed while it runs. */
  readonly hooks: Hooks
  /** What one recipient has got. */
  mailbox(address: string): readonly Delivery[]
  /** Resolves once it is so; looked at after each thing that happens here. */
  until(happened: () => boolean): Promise<void>
  /** Every client has left, and nothing that one of them said is being worked on. */
  settled(): Promise<void>
  /** Ends every connection, in the middle of whatever it is at, and takes no more. */
  down(): Promise<void>
  /** Listens again, on the port that it had. */
  up(certificate?: Certificate): Promise<void>
  /** Down for good. */
  close(): Promise<void>
}

export async function startSmtpServer(options: SmtpServerOptions = {}): Promise<SmtpServer> {
  const server = new TestSmtpServer(options)
  await server.up()
  return server
}

class TestSmtpServer implements SmtpServer, Host {
  readonly deliveries: Delivery[] = []
  readonly commands: string[] = []
  readonly connections: { total: number; open: number; most: number } = { total: 0, open: 0, most: 0 }
  readonly hooks: Hooks
  readonly extensions: readonly string[]
  readonly login: SmtpServerOptions['login']
  working = 0
  readonly frozen: Set<Socket> = new Set()
  readonly #tls: SmtpServerOptions['tls']
  #certificate: Certificate | undefined
  #server: Server | undefined
  #port = 0
  readonly #sockets: Set<Socket> = new Set()
  readonly #watchers: Set<() => void> = new Set()

  constructor({ extensions = ['8BITMIME', 'SMTPUTF8'], login, tls, certificate, ...hooks }: SmtpServerOptions) {
    this.extensions = extensions
    this.login = login
    this.hooks = hooks
    this.#tls = tls
    this.#certificate = certificate
  }

  async up(certificate: Certificate | undefined = this.#certificate): Promise<void> {
    this.#certificate = certificate
    const connected = (socket: Socket): void => this.#connected(socket)
    const server = this.#tls === 'implicit' ? createTlsServer({ ...certificate }, connected) : createServer(connected)
    // A client that dislikes the certificate is a client that left.
    server.on('tlsClientError', () => {})
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
  }

  async down(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    server.close()
    await once(server, 'close')
  }

  close(): Promise<void> {
    return this.down()
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    const { user = '', pass = '' } = this.login ?? {}
    const login = this.login === undefined ? '' : `${encodeURIComponent(user)}:${encodeURIComponent(pass)}@`
    return `${this.#tls === 'implicit' ? 'smtps' : 'smtp'}://${login}127.0.0.1:${this.port}`
  }

  get starttls(): Certificate | undefined {
    return this.#tls === 'starttls' ? this.#certificate : undefined
  }

  mailbox(address: string): readonly Delivery[] {
    return this.deliveries.filter(({ to }) => to.includes(address))
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
      this.frozen.delete(socket)
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

  settled(): Promise<void> {
    return this.until(() => {
      // Whoever does not read does not see that the client has left.
      for (const socket of this.frozen) socket.resume()
      return this.connections.open === 0 && this.working === 0
    })
  }
}
