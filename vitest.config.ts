import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { compileAhead } from './test/support/types-ahead.js'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const TSCONFIG = at('./tsconfig.json')

/** What takes longest, most of all under CI=true; begun last, it would keep all others waiting. */
const LONGEST = [
  'property/sqlite',
  'isolation/conformance/process',
  'engines/sqlite',
  'engines/bullmq-postgres',
  'engines/bullmq',
  'isolation/conformance/thread',
  'http/browser',
  'sqlite/kill',
  'sqlite/limits-kill',
  'bullmq/closing',
  'bullmq/connections',
  'bullmq/processes',
  'property/runner',
  'isolation/storm',
  'examples/process',
  'examples/pictures',
  'sqlite/deaths',
  'email/misbehaviour',
  'isolation/ends',
  'isolation/lives',
  'email/aborted',
  'email/mass',
  'engines/memory',
  'engines/asynchronous-store',
  'engines/shared-memory',
]

/**
 * Short, and all in memory or over sockets and files of their own: several of them run in one process, one after the other,
 * since to start it and to load the library there takes longer than most of them. Whoever replaces modules, changes the
 * process or starts others has a process of its own.
 */
const TOGETHER = [
  'test/{duration,fallback,json,lifecycle,retry-policy,runtime,waiters}.test.ts',
  'test/docs/**/*.test.ts',
  'test/email/!(aborted|mass|misbehaviour|strange-servers).test.ts',
  'test/engines/!(sqlite|bullmq|bullmq-postgres).test.ts',
  'test/examples/{config,dashboard,delivery,routes}.test.ts',
  'test/http/dashboard-*.test.ts',
  'test/http/!(browser|fuzz|readers|mounts).test.ts',
  'test/isolation/{definition,conformance/carry}.test.ts',
  'test/local/*.test.ts',
  'test/sqlite/{driver,group-commit,group-commit-faults,options,process-identity}.test.ts',
  'test/testing/{assertions,event-log,match,matchers,modes,outbox,run-task,test-runner,virtual-clock}.test.ts',
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const types = files.filter(({ pool }) => pool === 'typescript').length
    if (types > 0 && files.length > 10 * types) compileAhead(TSCONFIG)
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = LONGEST.findIndex((part) => moduleId.includes(`/test/${part}.`))
      return found < 0 ? LONGEST.length : found
    }
    // A process goes on with the next one only if that is of its kind.
    const isShared = ({ project }: TestSpecification): number => Number(!project.config.isolate)
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b) || isShared(a) - isShared(b))
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
    testTimeout: 20_000,
    // Vitest would leave one processor to itself; but many files wait most of the time: for processes, leases, disks.
    maxWorkers: availableParallelism() + (process.env['CI'] === 'true' ? 1 : 2),
    sequence: { sequencer: LongestFirst },
    // An unhandled rejection anywhere fails the run.
    dangerouslyIgnoreUnhandledErrors: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'alone',
          include: ['test/**/*.test.ts'],
          exclude: TOGETHER,
          globalSetup: ['test/support/bundles.ts', 'test/support/programs.ts'],
        },
      },
      { extends: true, test: { name: 'together', include: TOGETHER, isolate: false } },
      {
        extends: true,
        test: {
          name: 'types',
          include: [],
          typecheck: { enabled: true, include: ['test/**/*.test-d.ts'], tsconfig: TSCONFIG },
        },
      },
    ],
  },
})

export default config
