/** Stands between a client and a server, and lets the one hear of the other what a test wants. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

interface Pair {
  readonly client: Socket
  readonly server: Socket
  /** What the client has sent last. */
  asked: string
}

export class TcpProxy {
  readonly #to: number
  readonly #pairs: Set<Pair> = new Set()
  #listener: Server | undefined
  #port = 0
  #frozen = false
  /** What of the next bytes of clients goes through; then the connection is cut. */
  #left = Number.POSITIVE_INFINITY
  /** What a client has to have asked that is cut when the server answers next. */
  #mute: string | undefined
  /** Answers that were cut. */
  cuts = 0
  /** Connections that clients have made. */
  connections = 0
  /** Pieces of what clients have sent: about as many as they have asked questions. */
  sent = 0

  private constructor(to: number) {
    this.#to = to
  }

  /** @param to the port of the server, on this machine */
  static async start(to: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(to)
    await proxy.accept()
    return proxy
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`
  }

  /** The URL of what it stands before, by way of it. */
  insteadOf(url: string): string {
    const through = new URL(url)
    through.port = String(this.#port)
    return through.href
  }

  /** Takes connections, as it does from the beginning. */
  async accept(): Promise<void> {
    const listener = createServer((client) => this.#connected(client))
    this.#listener = listener
    listener.listen(this.#port, '127.0.0.1')
    await once(listener, 'listening')
    this.#port = (listener.address() as AddressInfo).port
  }

  /** As where no server is: those that are there end, new ones are refused. */
  refuse(): void {
    this.#listener?.close()
    this.cut()
  }

  /** Cuts each connection, or those that `some` picks. */
  cut(some: () => boolean = () => true): void {
    for (const pair of [...this.#pairs]) if (some()) this.#cut(pair)
  }

  /** Cuts the connection over which the bytes after these go, in the midst. */
  cutAfter(bytes: number): void {
    this.#left = bytes
  }

  /** Cuts the connection over which the next answer comes, before that. @param to a text within what it answers */
  cutAnswer(to = ''): void {
    this.#mute = to
  }

  /** Nothing gets through from now on, and nobody is told. */
  freeze(): void {
    this.#frozen = true
    for (const { client, server } of this.#pairs) for (const socket of [client, server]) socket.pause()
  }

  /** What was held back gets through. */
  thaw(): void {
    this.#frozen = false
    for (const { client, server } of this.#pairs) for (const socket of [client, server]) socket.resume()
  }

  /** Nothing gets through on the connections that there are, for good, and nobody is told; new ones are as always. */
  forget(): void {
    this.freeze()
    this.#frozen = false
  }

  async end(): Promise<void> {
    this.refuse()
    if (this.#listener?.listening) await once(this.#listener, 'close')
  }

  #connected(client: Socket): void {
    this.connections++
    const server = connect(this.#to, '127.0.0.1')
    const pair: Pair = { client, server, asked: '' }
    this.#pairs.add(pair)
    client.on('data', (bytes: Buffer) => {
      pair.asked = bytes.toString()
      this.sent++
      server.write(bytes.subarray(0, Math.min(bytes.length, this.#left)))
      this.#left -= bytes.length
      if (this.#left > 0) return
      this.#left = Number.POSITIVE_INFINITY
      server.end() // after what it was given
      client.destroy()
    })
    server.on('data', (bytes: Buffer) => {
      if (this.#mute === undefined || !pair.asked.includes(this.#mute)) return void client.write(bytes)
      this.#mute = undefined
      this.cuts++
      this.#cut(pair)
    })
    for (const socket of [client, server]) {
      socket.on('error', () => {}) // `close` follows
      socket.on('close', () => this.#cut(pair))
      if (this.#frozen) socket.pause()
    }
  }

  #cut(pair: Pair): void {
    this.#pairs.delete(pair)
    pair.client.destroy()
    if (!pair.server.writableEnded) pair.server.destroy()
  }
}
