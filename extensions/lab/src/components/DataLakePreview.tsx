import type { TranslationBundle } from '@jupyterlab/translation';

import type { Asked } from '../datalakeDetails.js';
import type { IPreview } from '../datalakeTypes.js';
import { DataLakeProblem } from './DataLakeProblem.js';

export interface IDataLakePreviewProps {
  preview: Asked<IPreview> | null;
  name: string;
  retry: () => void;
  trans: TranslationBundle;
}

/** A first look at a file. */
export function DataLakePreview(props: IDataLakePreviewProps): JSX.Element {
  const { preview, trans } = props;
  if (preview === null || preview.name === 'loading') {
    return (
      <p className="jp-farlab-Note" aria-busy="true">
        {trans.__('Reading the file…')}
      </p>
    );
  }
  if (preview.name === 'failed') {
    return <DataLakeProblem {...props} problem={preview.problem} />;
  }
  const { value } = preview;
  return (
    <div className="jp-farlab-LakePreview" tabIndex={0}>
      <Content preview={value} name={props.name} />
      {!value.whole && value.kind !== 'none' && (
        <p className="jp-farlab-LakePreview-more">
          {trans.__('The file has more than is shown here.')}
        </p>
      )}
    </div>
  );
}

function Content(props: { preview: IPreview; name: string }): JSX.Element {
  const { name, preview } = props;
  switch (preview.kind) {
    case 'image':
      return (
        <img
          alt={name}
          src={`data:${preview.media_type};base64,${preview.data}`}
        />
      );
    case 'table':
      return <Table {...preview} />;
    case 'none':
      return <p>{preview.text}</p>;
    default:
      return <pre>{preview.text}</pre>;
  }
}

function Table({ columns, rows }: IPreview): JSX.Element {
  return (
    <table>
      <thead>
        <tr>
          {columns.map((column, place) => (
            <th key={place} scope="col">
              {column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, number) => (
          <tr key={number}>
            {row.map((value, place) => (
              <td key={place}>{value}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
