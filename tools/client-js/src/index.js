/**
 * Client of the Campanile messaging server, for browsers and Node. See README.md.
 *
 * ```text
 * Client (socket, timers, storage) --what happened--> Machine: cursors, requests, resume list, backoff; decides everything, does nothing
 *                                  <--what to do----
 * ```
 */
export { Client } from './client.js';
export { CampanileError } from './errors.js';
export { bytesOf } from './body.js';
export { checkId, parseConversation } from './ids.js';
