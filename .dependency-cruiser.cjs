/**
 * Who imports whom. Types count as imports: an architecture that holds for values only is not one.
 *
 * The files of src/ stand in storeys, from the ground up. A file imports its own storey and those below, never above.
 * A new file is entered here, under the lowest storey that it can live on.
 */
const STOREYS = {
  leaf: [
    'clock',
    'cron',
    'duration',
    'elsewhere',
    'error-record',
    'errors',
    'events',
    'explanation',
    'fallback',
    'ids',
    'json',
    'limits',
    'module-file',
    'progress',
    'record',
    'retry-policy',
    'rules',
    'runtime',
    'saved-state',
    'schedule',
    'schema',
    'thenable',
    'within',
  ],
  seam: ['engine'],
  life: ['lifecycle', 'logger'],
  definition: ['task'],
  executor: ['executor', 'handler-context', 'work'],
  attempt: ['attempt'],
  options: ['options'],
  verbs: ['handle', 'idlers', 'schedules', 'shutdown', 'submission', 'waiters'],
  runner: ['runner'],
  surface: ['index'],
}

/** A folder of src/ and the storeys and folders, besides itself, that it may import. Each sub-path is such a folder. */
const FOLDERS = {
  local: ['leaf', 'seam', 'life'],
  email: ['leaf', 'life', 'definition'],
  sqlite: ['local', 'leaf', 'seam', 'life'],
  bullmq: ['local', 'leaf', 'seam', 'life'],
  isolation: ['leaf', 'definition', 'executor'],
  testing: ['surface'],
  http: ['surface'],
}

/** A third-party package and the one place that may import it. */
const PACKAGES = {
  'p-queue': '^src/local/local-engine\\.ts$',
  eventemitter3: '^src/events\\.ts$',
  croner: '^src/cron\\.ts$',
  nodemailer: '^src/email/',
  tinypool: '^src/isolation/',
  ioredis: '^src/bullmq/',
  bullmq: '^src/bullmq/',
  pg: '^src/bullmq/',
  hono: '^src/http/[^/]+$',
  zod: '^src/http/[^/]+$',
  preact: '^src/http/dashboard/',
  uplot: '^src/http/dashboard/',
}

const names = Object.keys(STOREYS)
const storey = (...of) => `^src/(?:${of.flatMap((name) => STOREYS[name]).join('|')})\\.ts$`
const places = (...of) => `(?:${of.map((name) => (name in STOREYS ? storey(name) : `^src/${name}/`)).join('|')})`

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circle',
      comment:
        'What imports each other cannot be read, tested or taken out alone. (The executor loads isolation/ when it is asked for.)',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['dynamic-import'] } },
    },
    {
      name: 'no-unknown-module',
      comment: 'The import leads nowhere. (That package.json lists what is imported is seen to by knip.)',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-file-without-a-storey',
      comment: 'Enter the new file in STOREYS in .dependency-cruiser.cjs.',
      severity: 'error',
      from: { path: '^src/[^/]+\\.ts$', pathNot: storey(...names) },
      to: {},
    },
    {
      name: 'no-folder-without-a-rule',
      comment: 'Enter the new folder in FOLDERS in .dependency-cruiser.cjs.',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: places(...Object.keys(FOLDERS)) },
      to: {},
    },
    ...names.slice(0, -1).map((name, at) => ({
      name: `no-import-upward-from-${name}`,
      comment: `${name} (${STOREYS[name].join(', ')}) imports its own storey and those below.`,
      severity: 'error',
      from: { path: storey(name) },
      to: { path: storey(...names.slice(at + 1)) },
    })),
    ...Object.entries(FOLDERS).map(([folder, below]) => ({
      name: `no-import-out-of-${folder}`,
      comment: `src/${folder} imports itself and ${below.join(', ')}: not the runner, not another folder.`,
      severity: 'error',
      from: { path: `^src/${folder}/` },
      to: { path: '^src/', pathNot: places(folder, ...below) },
    })),
    {
      name: 'no-engine-in-the-core',
      comment: 'Only options.ts and the surface know that there is a local engine; all else knows the seam, engine.ts.',
      severity: 'error',
      from: { path: '^src/[^/]+\\.ts$', pathNot: storey('options', 'surface') },
      to: { path: '^src/local/' },
    },
    {
      name: 'no-default-engine-outside-options',
      comment: 'Only options.ts names the memory engine.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/options\\.ts$' },
      to: { path: '^src/local/memory-store\\.ts$' },
    },
    {
      name: 'no-sub-path-in-the-core',
      comment: 'Whoever does not import a sub-path does not load it.',
      severity: 'error',
      from: { path: '^src/[^/]+\\.ts$' },
      to: { path: '^src/[^/]+/', pathNot: '^src/(?:local|isolation)/' },
    },
    {
      name: 'no-isolation-but-on-demand',
      comment: 'Only the executor loads isolation/, by a dynamic import, and only where a definition asks for it.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/isolation/' },
      to: { path: '^src/isolation/', dependencyTypesNot: ['dynamic-import'] },
    },
    ...Object.entries(PACKAGES).map(([name, place]) => ({
      name: `no-${name}-elsewhere`,
      comment: `One place imports ${name}: ${place}`,
      severity: 'error',
      from: { path: '^src/', pathNot: place },
      to: { path: `(?:^|/)node_modules/${name}/` },
    })),
    {
      name: 'no-other-package',
      comment: `The library stands on ${Object.keys(PACKAGES).join(', ')} and Node.`,
      severity: 'error',
      from: { path: '^src/' },
      to: {
        path: '(?:^|/)node_modules/',
        pathNot: `(?:^|/)node_modules/(?:@types/node|${Object.keys(PACKAGES).join('|')})/`,
      },
    },
    {
      name: 'no-import-out-of-src',
      comment: 'The library knows neither its tests nor its examples.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(?:test|examples|bench|scripts)/' },
    },
    {
      name: 'no-import-by-own-name',
      comment: 'Inside the library files import each other by path; its name is for those outside.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(?:src|dist)/', dependencyTypes: ['aliased'] },
    },
    {
      name: 'no-inside-in-examples',
      comment: "An example shows what a user can write: it imports 'background-runner' and its sub-paths.",
      severity: 'error',
      from: { path: '^examples/' },
      to: { path: '^(?:src|dist|test)/', dependencyTypesNot: ['aliased'] },
    },
    {
      name: 'no-surface-by-path-in-tests',
      comment:
        "A test of the surface imports 'background-runner'; the path into src/ is for unit tests of what is inside.",
      severity: 'error',
      from: { path: '^test/' },
      to: { path: '^(?:src/index\\.ts$|src/(?!local/)[^/]+/index\\.ts$|dist/)', dependencyTypesNot: ['aliased'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'default'] },
  },
}
