import { AsyncLocalStorage } from 'node:async_hooks'

const request = new AsyncLocalStorage<unknown>()

/** Called around the handler, with what the runner captured at submit. */
export const context = {
  run: (value: unknown, handler: () => unknown): unknown => request.run(value, handler),
}

export function run({ at, note }: { readonly at: Date; readonly note: string }): string {
  return `${note} on ${at.toUTCString().slice(0, 16)}, asked for by ${request.getStore()}`
}
