/** The test's end of the link to all puppets of a file: it asks with its thread held, requests, and hears what they report. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { type Numbers, pack, unpack } from './carry.js'
import type { FromLink, LinkData, Order, OrderTo, Report, ToLink } from './wire.js'
import { type Identity, Workers } from './workers.js'

/** ms for which the test's thread is held at most. */
const HELD = 10_000

/** The worker has gone, and its handlers with it. */
export class GoneError extends Error {
  override readonly name: string = 'GoneError'

  constructor() {
    super('the worker of this handler has gone')
  }
}

export type Called = Report & { readonly type: 'called' }

/** Who hears of calls. */
export interface Listener {
  called(worker: Puppeteer, report: Called): void
}

/** One worker, with the puppets in it. */
export class Puppeteer {
  readonly #link: Link
  readonly #number: number
  readonly #requests: Map<number, { resolve(value: unknown): void; reject(error: unknown): void }> = new Map()
  readonly #works: Map<number, () => void> = new Map()
  readonly #aborted: Map<number, (reason: unknown) => void> = new Map()
  /** Errors that came from there, by number, and the other way round. */
  readonly #errors: Map<number, object> = new Map()
  readonly #numbers: Map<object, number> = new Map()
  readonly #gone: (() => void)[] = []
  /** Once it has called. */
  identity: Identity | undefined
  gone = false

  readonly numbers: Numbers = {
    numberOf: (object) => this.#numbers.get(object),
    find: (number) => this.#errors.get(number),
    note: (number, object) => {
      this.#errors.set(number, object)
      this.#numbers.set(object, number)
    },
  }

  constructor(link: Link, number: number) {
    this.#link = link
    this.#number = number
  }

  pack(value: unknown): Uint8Array {
    return pack(value, this.numbers)
  }

  unpack(bytes: Uint8Array): unknown {
    return unpack(bytes, this.numbers)
  }

  /** What comes of it there, at once. @throws {GoneError} */
  ask(call: number, order: Order): unknown {
    const answer = this.gone ? undefined : this.#link.hold(this.#number, { ...order, call, order: 0 })
    if (answer === undefined) throw new GoneError()
    const value = this.unpack(answer.value)
    if (answer.thrown) throw value
    return value
  }

  /** What comes of it there. It rejects with a GoneError if that is nothing. @param work the function of a step */
  request(call: number, order: Order, work?: () => unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.gone) return reject(new GoneError())
      const number = this.#link.send(this.#number, { ...order, call })
      if (work !== undefined) this.#works.set(number, () => this.#work(call, number, work))
      this.#requests.set(number, { resolve, reject })
    })
  }

  /** Calls back when the signal of a call, which listens, is aborted. */
  onAborted(call: number, listener: (reason: unknown) => void): void {
    this.#aborted.set(call, listener)
  }

  /** Resolves when it has gone. */
  over(): Promise<void> {
    return new Promise((resolve) => {
      if (this.gone) resolve()
      else this.#gone.push(resolve)
    })
  }

  hear(report: Exclude<Report, Called>): void {
    if (report.type === 'aborted') return this.#aborted.get(report.call)?.(this.unpack(report.reason))
    if (report.type === 'work') return this.#works.get(report.step)?.()
    const request = this.#requests.get(report.order)
    this.#requests.delete(report.order)
    const value = this.unpack(report.value)
    if (report.thrown) request?.reject(value)
    else request?.resolve(value)
  }

  #work(call: number, step: number, work: () => unknown): void {
    const worked = (thrown: boolean, value: unknown): void =>
      void this.request(call, { what: 'worked', step, thrown, value: this.pack(value) }).catch(() => undefined)
    new Promise((resolve) => resolve(work())).then(
      (value) => worked(false, value),
      (error) => worked(true, error),
    )
  }

  end(): void {
    this.gone = true
    for (const { reject } of this.#requests.values()) reject(new GoneError())
    this.#requests.clear()
    for (const resolve of this.#gone) resolve()
  }
}

export class Link {
  readonly workers: Workers = new Workers()
  readonly #thread: Worker
  readonly #lock: Int32Array = new Int32Array(new SharedArrayBuffer(4))
  readonly #answers: MessagePort
  readonly #address: string
  readonly #workers: Map<number, Puppeteer> = new Map()
  /** The world of the present case. */
  listener: Listener | undefined
  #orders = 0

  private constructor() {
    const name = `background-runner-${randomUUID().slice(0, 13)}`
    this.#address = process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : join(tmpdir(), `${name}.sock`)
    const { port1, port2 } = new MessageChannel()
    this.#answers = port1
    const data: LinkData = { address: this.#address, lock: this.#lock }
    this.#thread = new Worker(new URL('./link-thread.js', import.meta.url), {
      workerData: { ...data, answers: port2 },
      transferList: [port2],
    })
  }

  static async open(): Promise<Link> {
    const link = new Link()
    await new Promise<void>((resolve, reject) => {
      link.#thread.once('error', reject)
      link.#thread.on('message', (message: FromLink) => {
        if (message.type === 'open') resolve()
        else link.#hear(message)
      })
    })
    link.#thread.unref()
    link.workers.watch()
    return link
  }

  /** The module of a runner's definition number `number`: what a worker has loaded for one runner, it has for the next. */
  moduleFor(number: number): URL {
    const module = new URL('./puppet.js', import.meta.url)
    module.searchParams.set('link', this.#address)
    module.searchParams.set('definition', String(number))
    return module
  }

  send(worker: number, order: Order & { readonly call: number }, held = false): number {
    const number = ++this.#orders
    const whole: OrderTo = { ...order, order: number }
    const message: ToLink = { worker, held, bytes: serialize(whole) }
    this.#thread.postMessage(message)
    return number
  }

  /** Holds the thread until there is an answer; undefined: the worker has gone. */
  hold(worker: number, order: OrderTo): (Report & { readonly type: 'answer' }) | undefined {
    while (receiveMessageOnPort(this.#answers) !== undefined); // one that came too late
    Atomics.store(this.#lock, 0, 0)
    this.send(worker, order, true)
    if (Atomics.wait(this.#lock, 0, 0, HELD) === 'timed-out')
      assert.fail(`a worker did not answer within ${HELD} ms: its event loop is held`)
    const bytes: Uint8Array | undefined = receiveMessageOnPort(this.#answers)?.message
    return bytes && (deserialize(bytes) as Report & { readonly type: 'answer' })
  }

  #hear(message: Exclude<FromLink, { readonly type: 'open' }>): void {
    let worker = this.#workers.get(message.worker)
    if (message.type === 'gone') {
      this.#workers.delete(message.worker)
      return worker?.end()
    }
    if (worker === undefined) {
      worker = new Puppeteer(this, message.worker)
      this.#workers.set(message.worker, worker)
    }
    const report = deserialize(message.bytes) as Report
    if (report.type === 'called') {
      worker.identity = report.from
      this.workers.greeted(report.from)
      this.listener?.called(worker, report)
    } else worker.hear(report)
  }

  async close(): Promise<void> {
    this.workers.close()
    this.#answers.close()
    await this.#thread.terminate()
    rmSync(this.#address, { force: true })
  }
}
