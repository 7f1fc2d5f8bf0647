import { Button, UseSignal } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';

export interface IDataLakeActionsProps {
  commands: CommandRegistry;
  /** The commands to have buttons for, as far as they make sense now. */
  ids: readonly string[];
}

/** Buttons that run the same commands as the menu and the palette. */
export function DataLakeActions(props: IDataLakeActionsProps): JSX.Element {
  const { commands, ids } = props;
  const args = { isMenu: true };
  return (
    <UseSignal signal={commands.commandChanged}>
      {() => (
        <div className="jp-farlab-LakeActions">
          {ids
            .filter(id => commands.isVisible(id, args))
            .map(id => (
              <Button
                key={id}
                className="jp-mod-styled jp-farlab-Action"
                title={commands.caption(id, args)}
                disabled={!commands.isEnabled(id, args)}
                onClick={() => void commands.execute(id, args)}
              >
                {commands.label(id, args)}
              </Button>
            ))}
        </div>
      )}
    </UseSignal>
  );
}
