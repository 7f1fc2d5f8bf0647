export interface IUsageTableProps {
  title: string;
  columns: string[];
  /** The cells of each row; the first one names it. */
  rows: string[][];
}

/** A table of figures; nothing where there are none. */
export function UsageTable({
  columns,
  rows,
  title
}: IUsageTableProps): JSX.Element | null {
  return rows.length === 0 ? null : (
    <section aria-label={title}>
      <h3>{title}</h3>
      <table className="jp-farlab-Usage-table">
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
          {rows.map(([name, ...cells], place) => (
            <tr key={place}>
              <th scope="row">{name}</th>
              {cells.map((cell, column) => (
                <td key={column}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
