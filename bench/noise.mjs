/** What a busy machine did to a measurement, and may spare the next: a rate was not kept. Only this is tried again. */
export class Noise extends Error {}

/** The exit code of a measurement that ended so. */
export const NOISE = 75
