/**
 * A handler in a module of its own: which file it is, and loading it. The same inline and in a worker, which is why it
 * says what to do where Node cannot load the file.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BackgroundRunnerError, show } from './errors.js'
import type { Json } from './json.js'

/** A handler, by its place. */
export interface ModuleFile {
  /** The href of a `file:` URL. */
  readonly url: string
  /** Of the export. */
  readonly name: string
}

/** What a module may export for the runner. */
export interface HandlerModule {
  readonly run: (input: unknown, ctx: unknown) => unknown
  /** Restores around the handler what was captured at submit. */
  readonly context: { readonly run?: (value: Json | undefined, handler: () => unknown) => unknown } | undefined
}

const SOURCES: Readonly<Record<string, string>> = { '.js': '.ts', '.mjs': '.mts', '.cjs': '.cts' }

/** TypeScript writes './resize.js' and means resize.ts, as long as it is not built. @param url of a file */
export function existing(url: string): string {
  const source = url.replace(/\.[mc]?js$/, (ending) => SOURCES[ending] ?? ending)
  return source !== url && !existsSync(fileURLToPath(url)) && existsSync(fileURLToPath(source)) ? source : url
}

/** @throws {BackgroundRunnerError} with the code MODULE_NOT_LOADED: it cannot be loaded, or has no such export */
export async function loadModule({ url, name }: ModuleFile): Promise<HandlerModule> {
  const file = existing(url)
  let loaded: Record<string, unknown>
  try {
    loaded = await importFile(file)
  } catch (cause) {
    throw notLoaded(file, whyNot(file, cause), cause)
  }
  // A CommonJS module that is imported has its exports under `default` as well, and some of them only there.
  const exported = [loaded, loaded['default']].find((each) => typeof at(each, name) === 'function')
  if (exported === undefined) throw notLoaded(file, `it has no function ${show(name)} among its exports`)
  const context = at(exported, 'context') as HandlerModule['context']
  return { run: at(exported, name) as HandlerModule['run'], context }
}

function at(from: unknown, name: string): unknown {
  return (from as Record<string, unknown> | null | undefined)?.[name]
}

async function importFile(url: string): Promise<Record<string, unknown>> {
  // The CommonJS build has no `import`, since Jest has none; and a `require` takes no URL.
  return import(import.meta.url === undefined ? fileURLToPath(url) : url)
}

function notLoaded(url: string, why: string, cause?: unknown): BackgroundRunnerError {
  return new BackgroundRunnerError('MODULE_NOT_LOADED', `the module ${fileURLToPath(url)} cannot be loaded: ${why}`, {
    cause,
  })
}

/** What a Node that strips types says where that is not enough. */
const MORE_THAN_TYPES = /^ERR_UNSUPPORTED_(?:TYPESCRIPT_SYNTAX|NODE_MODULES_TYPE_STRIPPING)$/

/** What Node says; and, where TypeScript is the trouble, what helps. */
function whyNot(file: string, cause: unknown): string {
  const { code, message, name, url } = (cause ?? {}) as Readonly<Record<string, unknown>>
  const said = String(message)
  const loader =
    '__vitest_worker__' in globalThis
      ? "have Vitest load it (server.deps.inline: ['background-runner'])"
      : 'start Node with --import tsx'
  const built = `give the built file, ${loader}`
  const missing = typeof url === 'string' && url.startsWith('file:') ? url : undefined
  if (missing !== undefined && existing(missing) !== missing)
    return `${said}; ${fileURLToPath(existing(missing))} is there: ${built}, or import that`
  if (process.features.typescript)
    return MORE_THAN_TYPES.test(String(code)) ? `${said}; Node only takes types away: ${built}` : said
  const isSource = /extension "\.[mc]?ts"/.test(said) || (name === 'SyntaxError' && /\.[mc]?ts$/.test(file))
  return isSource ? `${said}; Node ${process.version} runs no TypeScript: ${built}, or use Node 22.18 or later` : said
}
