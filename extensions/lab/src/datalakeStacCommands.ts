import type { IDataLakeContext } from './datalakeContext.js';
import { DataLakeCommandIDs, IEntryCommand } from './datalakeIds.js';
import { makeItem, register } from './datalakeStacActions.js';
import { can } from './datalakeTypes.js';

/** The commands that join STAC catalogues with the lakes that have the bytes. */
export function stacCommands(context: IDataLakeContext): IEntryCommand[] {
  const { trans } = context;
  return [
    {
      id: DataLakeCommandIDs.makeItem,
      label: trans.__('Make STAC Item…'),
      longLabel: trans.__(
        'Make a STAC Item of the Selected Dataset of the Lake…'
      ),
      caption: trans.__(
        'Describe it with an area and a time, for others to find it'
      ),
      suits: ({ entry, lake }) =>
        entry.kind === 'dataset' && can(lake, 'metadata'),
      run: ([subject]) => makeItem(context, subject)
    },
    {
      id: DataLakeCommandIDs.register,
      label: trans.__('Register in a Lake…'),
      longLabel: trans.__('Register the Selected Items in a Lake…'),
      caption: trans.__('Make files and datasets of its assets and items'),
      suits: ({ entry, lake }) =>
        lake.kind === 'stac' &&
        (entry.kind === 'collection' || entry.kind === 'item'),
      run: ([subject]) => register(context, subject)
    }
  ];
}
