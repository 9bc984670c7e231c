/**
 * Enters into package-lock.json the packages for other platforms that a registry mirror without them made npm leave out.
 * `npm ci` takes a lock file without them for outdated, and on those platforms nothing would be installed in their place.
 * Run it after `npm install` has changed the lock file.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const LOCK = new URL('../package-lock.json', import.meta.url)
const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const CPU = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']

const lock = JSON.parse(readFileSync(LOCK, 'utf8'))
const { packages } = lock
const added = []
for (const [place, { optionalDependencies = {} }] of Object.entries({ ...packages })) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (find(place, name) !== undefined) continue
    const entry = describe(name, version, place, Object.keys(optionalDependencies))
    if (entry === undefined) continue
    const top = `node_modules/${name}`
    const key = top in packages ? `${place}/${top}` : top
    packages[key] = entry
    added.push(key)
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, 'en')))
writeFileSync(LOCK, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`package-lock.json: ${added.length} packages for other platforms added`)

/** Where `name` is found from `place`, as Node looks for it. */
function find(place, name) {
  for (let folder = place; ; folder = folder.slice(0, Math.max(folder.lastIndexOf('/node_modules/'), 0))) {
    const key = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`
    if (key in packages) return key
    if (folder === '') return undefined
  }
}

/** The name says the platform; the rest is as with its sibling for the platform at hand. */
function describe(name, version, place, siblings) {
  const words = name.replace(/^@[^/]+\//, '').split('-')
  const os = OS.filter((each) => words.includes(each))
  const cpu = CPU.filter((each) => words.includes(each))
  const present = siblings.map((sibling) => find(place, sibling)).find((key) => key !== undefined)
  if (os.length + cpu.length === 0 || present === undefined || !/^\d/.test(version)) return undefined
  const { dev, license, engines } = packages[present]
  const libc = words.some((word) => word.startsWith('musl'))
    ? ['musl']
    : words.some((word) => word.startsWith('gnu'))
      ? ['glibc']
      : undefined
  return {
    version,
    cpu: cpu.length > 0 ? cpu : undefined,
    dev,
    libc: os.includes('linux') ? libc : undefined,
    license,
    optional: true,
    os: os.length > 0 ? os : undefined,
    engines,
  }
}
