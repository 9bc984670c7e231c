/** After `npm ci`: what the examples need besides the sources, so that they run where no test has run before. */
import bundle from '../test/support/bundles.ts'

await bundle()
