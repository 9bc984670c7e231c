/** TypeScript in worker threads of Node 20, which tsx passes over: a process that was started with it brings it along. */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { isMainThread } from 'node:worker_threads'

/** What is given to Node as `--import`, or as the rest of it. */
const LOADER = /--import[= ](\S*\btsx\b\S*)/

let brought: Promise<void> | undefined

/** Resolves when this thread can load what its process can; or cannot, which the module will tell. */
export function bringTsx(): Promise<void> {
  brought ??= bring().catch(() => {})
  return brought
}

async function bring(): Promise<void> {
  if (isMainThread || Number.parseInt(process.versions.node, 10) >= 22) return
  const loader = LOADER.exec([...process.execArgv, process.env['NODE_OPTIONS']].join(' '))?.[1]
  if (loader === undefined) return
  const from = loader.startsWith('file:') ? loader : pathToFileURL(`${process.cwd()}/`)
  // That of CommonJS does not register where there is no other.
  const api = createRequire(from)
    .resolve('tsx/esm/api')
    .replace(/\.cjs$/, '.mjs')
  const { register } = (await import(pathToFileURL(api).href)) as { readonly register: () => unknown }
  register()
}
