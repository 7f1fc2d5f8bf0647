/**
 * Farlab in JupyterLab: one plugin per panel, each of which can be switched off.
 */
import { core } from './core.js';
import { datalake } from './datalake.js';
import { identity } from './identity.js';
import { server } from './server.js';
import { accounting } from './usage.js';
import { workloads } from './workloads.js';

export * from './tokens.js';

export default [core, server, workloads, datalake, identity, accounting];
