import type { DataLakeClient } from './datalakeClient.js';
import type { INode } from './datalakeTree.js';
import type { IReplica } from './datalakeTypes.js';
import { can } from './datalakeTypes.js';
import { Observable } from './observable.js';

/** Where a file is. */
export type Availability = 'here' | 'elsewhere' | 'nowhere';

/** Milliseconds for which the same rows are on the screen before one asks about them. */
const CALM = 150;

/** Where the files on the screen are: one question for all of them, once scrolling has ended. */
export class AvailabilityModel extends Observable {
  constructor(
    private readonly _client: Pick<DataLakeClient, 'replicas'>,
    private readonly _calm: number = CALM
  ) {
    super();
  }

  /** Where a file is; undefined: it is not known. */
  of(node: INode): Availability | undefined {
    return this._known.get(keyOf(node));
  }

  /** These are the rows on the screen now. */
  look(nodes: readonly INode[]): void {
    const missing = nodes.filter(
      node =>
        node.entry?.kind === 'file' &&
        can(node.lake, 'replicas') &&
        !this._known.has(keyOf(node))
    );
    const asked = missing.map(keyOf).join('\n');
    if (asked === this._asked) {
      return;
    }
    this._stop();
    this._asked = asked;
    if (missing.length > 0) {
      this._timer = setTimeout(() => void this._ask(missing), this._calm);
    }
  }

  /** Nothing is known any more. */
  forget(): void {
    this._stop();
    this._known.clear();
    this.tellOfChange();
  }

  override dispose(): void {
    this._stop();
    super.dispose();
  }

  private async _ask(nodes: readonly INode[]): Promise<void> {
    const request = new AbortController();
    this._request = request;
    for (const lake of new Set(nodes.map(node => node.lake))) {
      const paths = nodes
        .filter(node => node.lake === lake)
        .map(node => node.entry!.path);
      try {
        const found = await this._client.replicas(
          lake.name,
          paths,
          request.signal
        );
        for (const [path, replicas] of Object.entries(found)) {
          this._known.set(`${lake.name}\n${path}`, availability(replicas));
        }
      } catch {
        // Rows are read without it, and details say what is wrong.
      }
    }
    if (!request.signal.aborted) {
      this.tellOfChange();
    }
  }

  private _stop(): void {
    clearTimeout(this._timer);
    this._request?.abort();
    this._asked = '';
  }

  private _asked = '';
  private _known = new Map<string, Availability>();
  private _request: AbortController | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** What replicas say of where a file is. */
export function availability(replicas: readonly IReplica[]): Availability {
  if (replicas.some(replica => replica.path !== null)) {
    return 'here';
  }
  return replicas.some(replica => replica.state === 'available')
    ? 'elsewhere'
    : 'nowhere';
}

function keyOf(node: INode): string {
  return `${node.lake.name}\n${node.entry?.path ?? ''}`;
}
