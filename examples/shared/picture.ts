/**
 * A picture of the Mandelbrot set, as a PNG: half a second of computing that never lets go of its event loop. In a worker thread
 * that is nobody else's. A module of its own, since this file is what the thread loads.
 */
import { crc32, deflateSync } from 'node:zlib'
import type { TaskContext } from 'background-runner'

/** Pixels; it is two thirds as high. */
export interface Size {
  readonly width: number
}

/** Steps after which a point counts as one of the set. */
const DEEP = 1_000

/** @returns it in base64: an output is JSON */
export function run({ width }: Size, { progress }: TaskContext): string {
  const height = Math.round((width * 2) / 3)
  const lines = Buffer.alloc(height * (width + 1)) // each begins with a byte that says: not filtered
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) lines[y * (width + 1) + x + 1] = shade((3 * x) / width - 2.25, (2 * y) / height - 1)
    progress({ percent: Math.round((100 * (y + 1)) / height) })
  }
  return greyscale(width, height, lines).toString('base64')
}

/** Black in the set, and the lighter the nearer to it. */
function shade(x: number, y: number): number {
  let [a, b] = [0, 0]
  for (let n = 0; n < DEEP; n++) {
    if (a * a + b * b > 4) return Math.min(255, 8 * n)
    ;[a, b] = [a * a - b * b + x, 2 * a * b + y]
  }
  return 0
}

function greyscale(width: number, height: number, lines: Buffer): Buffer {
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width, 0)
  head.writeUInt32BE(height, 4)
  head.writeUInt8(8, 8) // bits a pixel
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')
  return Buffer.concat([signature, chunk('IHDR', head), chunk('IDAT', deflateSync(lines)), chunk('IEND')])
}

function chunk(type: string, content: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type), content])
  const frame = Buffer.alloc(4 + body.length + 4)
  frame.writeUInt32BE(content.length, 0)
  body.copy(frame, 4)
  frame.writeUInt32BE(crc32(body), 4 + body.length)
  return frame
}
