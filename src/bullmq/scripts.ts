/** Puts the scripts together: BullMQ's own texts as functions, what is common, and each body of `lua-….ts`. */
import { MissingDependencyError } from '../errors.js'
import type { Question } from './backend.js'
import * as lua from './lua.js'
import * as house from './lua-house.js'
import * as verbs from './lua-verbs.js'
import * as work from './lua-work.js'

const BODIES: Readonly<Record<Question, string>> = {
  insert: verbs.INSERT,
  claim: work.CLAIM,
  settle: work.SETTLE,
  read: verbs.READ,
  put: work.PUT,
  amend: verbs.AMEND,
  tell: house.TELL,
  renew: work.RENEW,
  bury: house.BURY,
  outlook: house.OUTLOOK,
  counts: verbs.COUNTS,
  list: verbs.LIST,
  prune: house.PRUNE,
  pause: verbs.PAUSE,
  holds: verbs.HOLDS,
  explain: verbs.EXPLAIN,
  schedules: verbs.SCHEDULES,
  swap: verbs.SWAP,
  leave: work.LEAVE,
  mine: work.MINE,
}

type BullScripts = Readonly<Record<string, { readonly content: string } | undefined>>

/** The whole text of each script. @throws {MissingDependencyError} bullmq is not installed, or another version than this one stands on */
export async function loadScripts(): Promise<Readonly<Record<Question, string>>> {
  const bull = await loadBull()
  const composed = Object.entries(BODIES).map(([name, body]) => [
    name,
    compose(bull, body, name === 'settle' ? work.SETTLE_PLAIN : ''),
  ])
  return Object.fromEntries(composed) as Record<Question, string>
}

/** With what it names, and no more: each function is made anew at each call. @param first what is tried before all that */
function compose(bull: BullScripts, body: string, first = ''): string {
  let text = body
  for (const [name, source] of Object.entries(lua.FUNCTIONS).reverse()) if (names(text, name)) text = source + text
  const used = new Set([...(first + text).matchAll(/\bbull\.(\w+)\(/g)].map(([, name]) => name as string))
  const functions = [...used].map((each) => `\nbull.${each} = function(KEYS, ARGV)\n${textOf(bull, each)}\nend\n`)
  return `${lua.HEAD}${functions.join('')}${first}\nlocal function main()${text}end${lua.END}`
}

/** Whether a text names something, elsewhere than in a comment or a string. */
function names(text: string, name: string): boolean {
  const code = text.replace(/--.*$/gm, '').replace(/'[^'\n]*'/g, "''")
  return new RegExp(`(?<![.\\w])${name}\\b`).test(code)
}

async function loadBull(): Promise<BullScripts> {
  try {
    // BullMQ has no `exports`: each of its files can be imported, and this one says what it sends to Redis.
    const { default: cjs, ...esm } = (await import('bullmq/dist/cjs/scripts/index.js' as string)) as {
      default?: BullScripts
    }
    return cjs ?? (esm as BullScripts)
  } catch (cause) {
    throw new MissingDependencyError('bullmq', 'bullmq()', { cause })
  }
}

function textOf(bull: BullScripts, name: string): string {
  const content = bull[name]?.content
  if (content === undefined) throw new MissingDependencyError('bullmq@~6.7', `bullmq(), which calls its script ${name}`)
  return content
}
