/** A handler in a file of its own: for isolation.ts and bundled.ts. */
import type { TaskContext } from 'background-runner'

export async function run(
  input: { width: number },
  { progress }: TaskContext,
): Promise<{ width: number; pid: number }> {
  progress('half')
  return { width: input.width * 2, pid: process.pid }
}

export function wait(_input: undefined, { signal }: TaskContext): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })
}
