/** What a disk, or a program that is none of ours, may do to a file. */
import { closeSync, openSync, writeSync } from 'node:fs'

/** From this byte on until that. */
export function overwrite(path: string, from: number, to: number): void {
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.alloc(to - from, 0xa5), 0, to - from, from)
  closeSync(file)
}
