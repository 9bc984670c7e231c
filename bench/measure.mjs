/** One measurement in a process of its own: node --expose-gc measure.mjs <workload file> <case>. Prints its figures as JSON. */
const [file, name] = process.argv.slice(2)
const { cases } = await import(file)
const figures = await cases[name]()
process.stdout.write(JSON.stringify(figures), () => process.exit())
