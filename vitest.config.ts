import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** What takes longest under CI=true; begun last, it would keep all others waiting. */
const LONGEST = [
  'property/sqlite',
  'isolation/conformance/process',
  'engines/sqlite',
  'isolation/conformance/thread',
  'sqlite/kill',
  'property/runner',
  'examples/process',
  'examples/pictures',
  'sqlite/deaths',
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = LONGEST.findIndex((part) => moduleId.includes(`/test/${part}.`))
      return found < 0 ? LONGEST.length : found
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}

const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: [
      { find: /^background-runner$/, replacement: at('./src/index.ts') },
      { find: /^background-runner\/(\w+)$/, replacement: at('./src/$1/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/bundles.ts'],
    typecheck: { enabled: true, include: ['test/**/*.test-d.ts'], tsconfig: './tsconfig.json' },
    testTimeout: 20_000,
    // Vitest would leave one processor to itself; but many files wait most of the time: for processes, leases, disks.
    maxWorkers: availableParallelism(),
    sequence: { sequencer: LongestFirst },
    // An unhandled rejection anywhere fails the run.
    dangerouslyIgnoreUnhandledErrors: false,
  },
})

export default config
