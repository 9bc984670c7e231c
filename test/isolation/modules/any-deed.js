/** Any of the deeds, so that all of them can run in the workers of one definition. */
import * as deeds from './deeds.js'

export const run = ({ deed, input }, ctx) => Reflect.get(deeds, deed)(input, ctx)
