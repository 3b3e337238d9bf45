/** What was asked cannot be carried out; its message says why, in one line. */
export class RefusedError extends Error {}
