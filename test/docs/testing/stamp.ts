import { once } from 'node:events'
import type { TaskContext } from 'background-runner'

export async function run(pages: number, { progress, signal }: TaskContext): Promise<number> {
  for (let page = 1; page <= pages; page++) progress(page)
  if (pages > 2) await once(signal, 'abort') // it is out of paper
  signal.throwIfAborted()
  return pages
}
