/** The link: the thread that owns the sockets of all puppets, while the test's thread may be held. It reads no message. */
import { createServer, type Socket } from 'node:net'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { Frames, type FromLink, type LinkData, type ToLink } from './wire.js'

const { address, lock, answers } = workerData as LinkData & { readonly answers: MessagePort }
const sockets: Map<number, Socket> = new Map()
/** The worker that the test's thread is held for. */
let held: number | undefined
let workers = 0

const tell = (message: FromLink): void => parentPort?.postMessage(message)

function release(bytes: Uint8Array | undefined): void {
  held = undefined
  answers.postMessage(bytes)
  Atomics.store(lock, 0, 1)
  Atomics.notify(lock, 0)
}

const server = createServer((socket) => {
  const worker = ++workers
  const frames = new Frames()
  sockets.set(worker, socket)
  socket.on('data', (chunk) => {
    for (const frame of frames.of(chunk)) {
      if (frame.held) release(frame.bytes)
      else tell({ type: 'report', worker, bytes: frame.bytes })
    }
  })
  socket.on('error', () => socket.destroy())
  socket.on('close', () => {
    sockets.delete(worker)
    tell({ type: 'gone', worker })
    if (held === worker) release(undefined)
  })
})
server.listen(address, () => tell({ type: 'open' }))

parentPort?.on('message', (message: ToLink) => {
  const socket = sockets.get(message.worker)
  if (message.held) held = message.worker
  if (socket !== undefined) socket.write(Frames.of(message.bytes, message.held))
  else if (message.held) release(undefined)
})
