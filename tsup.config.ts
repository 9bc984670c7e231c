import { transform } from 'esbuild'
import type { Options } from 'tsup'

type Plugin = NonNullable<Options['plugins']>[number]

/** One entry for each sub-path: the folder's index.ts. */
const subPaths = {
  index: 'src/index.ts',
  'email/index': 'src/email/index.ts',
  'testing/index': 'src/testing/index.ts',
  'sqlite/index': 'src/sqlite/index.ts',
  'bullmq/index': 'src/bullmq/index.ts',
  'http/index': 'src/http/index.ts',
}

/** And what the executor loads when it is asked for. */
const entry = { ...subPaths, 'isolation/index': 'src/isolation/index.ts' }

const shared: Options = {
  platform: 'node',
  target: 'node20',
  // What sub-paths share goes into a chunk; otherwise each would carry its own error classes and its own state.
  splitting: true,
  // tsup makes `sqlite` of `node:sqlite` otherwise, which does not exist.
  removeNodeProtocol: false,
  // The builds run side by side, so none of them may empty the folder: `npm run build` does that first.
  clean: false,
}

/**
 * Makes CommonJS of chunks that were split as ESM. tsup's own way of splitting CommonJS rewrites every `?.` and `??` into
 * a call of a helper, which costs a quarter of the throughput. A dynamic import becomes a `require`, since Jest has no other.
 */
const commonJs: Plugin = {
  name: 'commonjs',
  async renderChunk(code, chunk) {
    if (chunk.type !== 'chunk') return
    const map = typeof chunk.map === 'string' ? chunk.map : JSON.stringify(chunk.map)
    const inlined = `//# sourceMappingURL=data:application/json;base64,${Buffer.from(map).toString('base64')}`
    const result = await transform(`${code}\n${inlined}`, {
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      supported: { 'dynamic-import': false },
      sourcemap: 'external',
    })
    // Given back in the result it would be merged once more, with this machine's paths in it.
    chunk.map = result.map
    return { code: result.code }
  },
}

const config: Options[] = [
  // Beside isolation/index lies what a worker begins with, always this one, which is found by its place.
  { ...shared, entry: { ...entry, 'isolation/worker': 'src/isolation/worker.ts' }, format: 'esm', sourcemap: true },
  {
    ...shared,
    entry,
    format: 'esm',
    outExtension: () => ({ js: '.cjs' }),
    sourcemap: true,
    // ESM only, so a `require` of them would fail. p-timeout comes with p-queue.
    noExternal: ['p-queue', 'p-timeout'],
    plugins: [commonJs],
  },
  { ...shared, entry: subPaths, format: ['esm', 'cjs'], dts: { only: true } },
]

export default config
