/** A module that cannot be loaded. */
throw new RangeError('not today')
