/**
 * Farlab in JupyterLab: one plugin per panel, each of which can be switched off.
 */
import { core } from './core.js';
import { datalake } from './datalake.js';
import { server } from './server.js';
import { workloads } from './workloads.js';

export * from './tokens.js';

export default [core, server, workloads, datalake];
