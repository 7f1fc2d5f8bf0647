import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ServerConnection } from '@jupyterlab/services';

import { FarlabClient } from './client.js';
import { FarlabHttp } from './http.js';
import { IFarlab } from './tokens.js';

/** Provides the typed client of Farlab's APIs to every other plugin. */
export const core: JupyterFrontEndPlugin<IFarlab> = {
  id: '@farlab/lab:core',
  description: "Provides a typed client of Farlab's APIs in this server.",
  autoStart: true,
  provides: IFarlab,
  activate: app => {
    const settings =
      app.serviceManager.serverSettings ?? ServerConnection.makeSettings();
    return new FarlabClient(new FarlabHttp(settings));
  }
};
