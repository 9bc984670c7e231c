/** Where the library is: as it is built (`npm run build` at the root), or another build of it: BENCH_LIBRARY=/path/to/index.mjs */
import { basename } from 'node:path'
import { pathToFileURL } from 'node:url'

const built = new URL('../dist/index.js', import.meta.url)

const subPath = (name) => new URL(`${name}/${basename(library.pathname)}`, library)

export const library = process.env.BENCH_LIBRARY ? pathToFileURL(process.env.BENCH_LIBRARY) : built
export const email = subPath('email')
export const sqlite = subPath('sqlite')
export const bullmq = subPath('bullmq')
export const http = subPath('http')
