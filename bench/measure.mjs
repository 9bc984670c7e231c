/** One measurement in a process of its own: node --expose-gc measure.mjs <workload file> <case>. Prints its figures as JSON. */
import { NOISE, Noise } from './noise.mjs'

const [file, name] = process.argv.slice(2)
const { cases } = await import(file)
try {
  const figures = await cases[name]()
  process.stdout.write(JSON.stringify(figures), () => process.exit())
} catch (error) {
  console.error(error)
  process.exit(error instanceof Noise ? NOISE : 1)
}
